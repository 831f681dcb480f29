"""The jars of Apache Kafka, fetched once by Maven, and the archive that lets its JVM start fast.

build/kafka/VERSION/ holds jars/ and kafka.jsa; shared by all stacks, kept when they go.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .layout import ROOT, StackError

CONFIGURATION = ROOT / "deploy" / "local" / "kafka"  # pom.xml, log4j*.properties
STORE = ROOT / "build" / "kafka"
DEFAULT_VERSION = "4.3.1"  # the newest that Maven Central resolves whole
VERSIONS = (DEFAULT_VERSION, "3.9.2")
LOGGING = {
    "4": "-Dlog4j2.configurationFile=" + str(CONFIGURATION / "log4j2.properties"),
    "3": "-Dlog4j.configuration=file:" + str(CONFIGURATION / "log4j.properties"),
}


class KafkaJars:
    """One version. `get` once, then `java` builds command lines."""

    def __init__(self, version=DEFAULT_VERSION, store=STORE):
        if version not in VERSIONS:
            raise StackError(f"Kafka {version} is not one of {', '.join(VERSIONS)}")
        self.version = version
        self.folder = Path(store) / version
        self.jars = self.folder / "jars"
        self.archive = self.folder / "kafka.jsa"

    def get(self, record):
        """Make sure that jars and archive are there; others who ask meanwhile wait. `record` is
        called with the archive's JVM option: it must run a broker once and stop it with SIGTERM.
        Returns at once when both are there."""
        if self.archive.exists():
            return
        for tool in ("java", "mvn"):
            if shutil.which(tool) is None:
                raise StackError(f"{tool} is not installed, real Kafka needs it: "
                                 "run deploy/install-dependencies kafka")
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, also when we are killed
            if not self.jars.exists():
                self._download()
            if not self.archive.exists():
                draft = self.folder / "draft.jsa"
                draft.unlink(missing_ok=True)
                record(f"-XX:ArchiveClassesAtExit={draft}")
                if not draft.exists():
                    raise StackError(f"java wrote no class archive to {draft}")
                draft.rename(self.archive)

    def java(self, main_class, *arguments, option=None):
        """The command line of a Kafka class. The class path is given as it was when the archive
        was written: another string, and the JVM ignores the archive."""
        return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto",
                option or f"-XX:SharedArchiveFile={self.archive}", LOGGING[self.version[0]],
                "-cp", f"{self.jars}/*", main_class, *arguments]

    def _download(self):
        with tempfile.TemporaryDirectory(dir=self.folder) as draft:
            done = subprocess.run(
                ["mvn", "-q", "-B", "-f", CONFIGURATION / "pom.xml", "-P", f"kafka-{self.version}",
                 "dependency:copy-dependencies", f"-DoutputDirectory={draft}/jars"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                raise StackError(f"Maven cannot fetch Kafka {self.version} (--broker embedded "
                                 f"needs no network):\n{done.stdout[-2000:]}")
            os.rename(f"{draft}/jars", self.jars)
