"""The broker of a stack, one of three kinds with the same few verbs (start, stop, kill, restart),
an `address`, and `about`: which one it is, in words for the person who waits for it.

EmbeddedBroker   librdkafka's mock cluster in a process of its own: at once there, memory only
Kafka            Apache Kafka in KRaft mode, one node, on this machine
RunningBroker    one that somebody else runs: KAFKA_BOOTSTRAP_SERVERS was set
"""

import base64
import os
import signal
import subprocess
import tempfile
import uuid

from .daemon import Daemon, wait_for
from .kafka_jars import DEFAULT_VERSION, KafkaJars
from .layout import Layout, StackError
from .net import free_port, kafka_answers

START_SECONDS = 60  # a busy machine; after kill() Kafka waits for its former self's session to end


class _OwnBroker:
    """What the two brokers that we start ourselves share: an address that outlives a restart."""

    def __init__(self, layout, port):
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.folder = layout.broker
        self.daemon = Daemon(layout, "broker")

    def stop(self):
        return self.daemon.stop()

    def kill(self):
        self.daemon.kill()

    def restart(self):
        self.stop()
        self.start()


class EmbeddedBroker(_OwnBroker):
    """Topics (name → partitions) are there before it answers; a restart forgets all else.
    `advertised`: the port, a proxy's, that its clients are sent to."""

    def __init__(self, layout, program, topics, port=None, advertised=None):
        super().__init__(layout, port)
        self.about = f"embedded broker on {self.address}"
        self._program = program
        self._topics = dict(topics)
        self._advertised = advertised

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self._told.unlink(missing_ok=True)
        command = [self._program, "--port", self.port, "--address-file", self._told]
        if self._advertised is not None:
            command += ["--advertised-port", self._advertised]
        for name, partitions in self._topics.items():
            command += ["--topic", f"{name}:{partitions}"]
        self.daemon.start(command, {"PATH": os.environ.get("PATH", os.defpath)})
        wait_for(self.ready, START_SECONDS, "answer of the embedded broker", [self.daemon])

    def ready(self):
        # It answers earlier, but makes a topic that is asked for before it is there with a number
        # of partitions of its own, and then cannot create it: nobody may ask before the file.
        return self._told.exists() and kafka_answers(self.address, with_controller=False)

    @property
    def _told(self):
        """The file that the program writes once all its topics are there."""
        return self.folder / "address"


class Kafka(_OwnBroker):
    """A broker that is its own controller. Restarted, it has its data and its address again.
    `settings` override lines of server.properties, `format_words` are more for the command that
    formats its storage; `tls`: with what (an ssl.SSLContext) it is asked whether it is ready."""

    def __init__(self, layout, version=DEFAULT_VERSION, port=None, controller_port=None,
                 settings=None, format_words=(), tls=None):
        super().__init__(layout, port)
        self.controller_port = controller_port or free_port()
        self._jars = KafkaJars(version)
        self._settings = settings or {}
        self._format_words = format_words
        self._tls = tls
        self._configuration = self.folder / "server.properties"

    @property
    def about(self):
        once = "" if self._jars.archive.exists() else (
            "; Maven fetches it this once (45 MB), which can take minutes")
        return f"Apache Kafka {self._jars.version} on {self.address}{once}"

    def start(self):
        self._jars.get(self._record_archive)
        self._launch()

    def ready(self):
        return kafka_answers(self.address, with_controller=True, tls=self._tls)

    def _launch(self, jvm_option=None):
        if not self._configuration.exists():
            self._format(jvm_option)
        command = self._jars.java("kafka.Kafka", self._configuration, option=jvm_option)
        self.daemon.start(command, self._environment())
        wait_for(self.ready, START_SECONDS, "answer of Kafka", [self.daemon])

    def _format(self, jvm_option):
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "server.properties.new"
        draft.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
        # one id in 64 begins with a dash: hence the `=`, else it were an option
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # While the archive is being recorded there is none to use, and this run must not write it.
        option = "-Xshare:auto" if jvm_option else None
        done = subprocess.run(
            self._jars.java("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", draft,
                            *self._format_words, option=option),
            env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        if done.returncode != 0:
            raise StackError(f"Kafka cannot format {self.folder}:\n{done.stdout[-2000:]}")
        draft.rename(self._configuration)

    def _properties(self):
        listeners = f"PLAINTEXT://{self.address}"
        controller = f"127.0.0.1:{self.controller_port}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": f"{listeners},CONTROLLER://{controller}",
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,    # 3 s by default before the first assignment
            "auto.create.topics.enable": "false",     # the producer creates them, with partitions
            "log.cleaner.dedupe.buffer.size": 4194304,  # 128 MiB by default: more than the heap
            "num.network.threads": 2,
            "num.io.threads": 2,
            "broker.session.timeout.ms": 2000,        # so long a killed one keeps its successor out
            "broker.heartbeat.interval.ms": 500,
        }
        properties.update(self._settings)
        return properties

    def _record_archive(self, jvm_option):
        """Run a throw-away broker of this version once; the JVM writes the archive at its end."""
        with tempfile.TemporaryDirectory(prefix="reveille-kafka-") as folder:
            broker = Kafka(Layout(folder), self._jars.version)
            try:
                broker._launch(jvm_option)
            finally:
                broker.daemon.stop(signal.SIGTERM, seconds=60)

    @staticmethod
    def _environment():
        return {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME")
                if name in os.environ}


class RunningBroker:
    """Not ours: never started, never stopped. `security` is true when it speaks TLS or SASL, which
    only the programs themselves can try."""

    def __init__(self, address, security=False):
        self.address = address
        self.about = f"the broker at KAFKA_BOOTSTRAP_SERVERS={address}"
        self._security = security

    def start(self):
        if not self._security and not self.ready():
            raise StackError(f"no Kafka answers at KAFKA_BOOTSTRAP_SERVERS={self.address}: start "
                             "it, or unset the variable, or choose --broker embedded|kafka")

    def ready(self):
        return any(kafka_answers(address.strip(), with_controller=True)
                   for address in self.address.split(","))

    def stop(self):
        return True
