"""The two cores and the simulator, compiled by hand in a folder of their own: for the planted bugs
(check-mutants) and for what the simulation reaches (coverage). Not how anything is shipped."""
import concurrent.futures
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("common", "worker", "producer", "tests/sim")
CORES = ("worker/pool_*.c", "worker/share.c", "producer/run_core.c", "producer/run_publish.c",
         "producer/run_reconcile.c", "producer/run_state.c")
REST = ("worker/outcome.c", "common/err.c", "common/buf.c", "common/backoff.c", "common/uuid.c",
        "common/attrs.c", "tests/sim/*.c")
FLAGS = ("-std=c17", "-D_GNU_SOURCE", "-w")


def sources(tree, patterns=CORES + REST):
    return sorted(source for pattern in patterns for source in tree.glob(pattern))


def compile_all(tree, files, flags=("-O1",), to=lambda source: source.with_suffix(".o")):
    """Compiles files of a tree, two at a time; `to` names each one's object."""
    includes = [f"-I{tree / folder}" for folder in FOLDERS]

    def compile_one(source):
        subprocess.run(["gcc", *FLAGS, *flags, *includes, "-c", source, "-o", to(source)],
                       check=True)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, files))


def link(objects, program, flags=()):
    subprocess.run(["gcc", *flags, *objects, "-lcrypto", "-o", program], check=True)
