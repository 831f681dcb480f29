"""An Apache Kafka that lets nobody in without TLS and an identity, and where an identity may do only
what an ACL says: certificates (mTLS) on one listener, SCRAM-SHA-512 over TLS on another, brokers and
controller among themselves by certificates too; and the first once more at an address that is not
in the broker's certificate. And the ACLs that Reveille needs, no others.

Who is called alike on both listeners is the same principal: User:NAME.
"""

import secrets
import ssl
import struct

from certificates import Authority
from stack.broker import Kafka
from stack.net import free_port, kafka_request

# Kafka's numbers. deploy/DEPLOYMENT.md says the same in words.
CREATE_ACLS = 30
TOPIC, GROUP = 2, 3
LITERAL, PREFIXED = 3, 4
READ, WRITE, CREATE, DESCRIBE = 3, 4, 5, 8
ALLOW = 3

PRODUCER, WORKER, STRANGER = "reveille-producer", "reveille-worker", "stranger"
ADMIN, BROKER = "admin", "broker"


def acls(prefix):
    """[(principal, resource, pattern, name, operation)]: all that a run needs."""
    topics, group = f"{prefix}.", f"{prefix}.workers"
    return [
        (PRODUCER, TOPIC, PREFIXED, topics, CREATE),
        (PRODUCER, TOPIC, PREFIXED, topics, WRITE),
        (PRODUCER, GROUP, LITERAL, group, DESCRIBE),
        (WORKER, TOPIC, PREFIXED, topics, READ),
        (WORKER, GROUP, LITERAL, group, READ),
    ]


class SecuredKafka:
    """`broker` is the process. `tls(name)` and `scram(name)` are a principal's way in, as the
    programs' KAFKA_* variables; each start makes certificates and passwords of its own."""

    def __init__(self, layout, version):
        self._authority = Authority(layout.folder / "certificates")
        self._passwords = {name: secrets.token_hex(16) for name in (PRODUCER, WORKER, STRANGER)}
        self._tls_port, self._scram_port, controller_port = free_port(), free_port(), free_port()
        self._nameless = f"127.0.0.2:{free_port()}"
        self._admin = ssl.create_default_context(cafile=self._authority.certificate)
        self._admin.load_cert_chain(*self._authority.issue(ADMIN))
        self.broker = Kafka(
            layout, version, self._tls_port, controller_port,
            self._settings(layout, f"127.0.0.1:{controller_port}"),
            [f"--add-scram=SCRAM-SHA-512=[name={name},password={password}]"
             for name, password in self._passwords.items()], self._admin)

    # --- ways in

    def tls(self, name, authority=None):
        """With a certificate of this name, of another authority if one is given."""
        certificate, key = (authority or self._authority).issue(name)
        return {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self._tls_port}",
                "KAFKA_SECURITY_PROTOCOL": "SSL", **self._trust(),
                "KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate),
                "KAFKA_SSL_KEY_LOCATION": str(key)}

    def nameless(self, name):
        """As `tls`, at an address that the broker's certificate does not hold."""
        return {**self.tls(name), "KAFKA_BOOTSTRAP_SERVERS": self._nameless}

    def scram(self, name, password=None):
        return {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{self._scram_port}",
                "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", **self._trust(),
                "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": name,
                "KAFKA_SASL_PASSWORD": password or self._passwords[name]}

    def password(self, name):
        return self._passwords[name]

    def _trust(self):
        return {"KAFKA_SSL_CA_LOCATION": str(self._authority.certificate)}

    # --- rights

    def allow(self, rules):
        """Adds the ACLs, as the one who may do everything."""
        body = struct.pack(">i", len(rules))
        for principal, resource, pattern, name, operation in rules:
            body += (struct.pack(">b", resource) + text(name) + struct.pack(">b", pattern)
                     + text(f"User:{principal}") + text("*") + struct.pack(">bb", operation, ALLOW))
        answer = kafka_request(self.broker.address, CREATE_ACLS, 1, body, 10, self._admin)
        at = 8  # behind the throttle's time and the number of results
        for _ in rules:
            code, length = struct.unpack_from(">hh", answer, at)
            assert code == 0, f"Kafka creates no ACL: error {code}"
            at += 4 + max(0, length)

    # --- inside

    def _settings(self, layout, controller):
        certificate, key = self._authority.issue(BROKER, "DNS:localhost", "IP:127.0.0.1")
        identity = layout.folder / "broker.pem"
        identity.write_text(key.read_text() + certificate.read_text(), encoding="utf-8")
        return {
            "listeners": f"SSL://127.0.0.1:{self._tls_port},"
                         f"SASL_SSL://127.0.0.1:{self._scram_port},NAMELESS://{self._nameless},"
                         f"CONTROLLER://{controller}",
            "advertised.listeners": f"SSL://localhost:{self._tls_port},"
                                    f"SASL_SSL://localhost:{self._scram_port},"
                                    f"NAMELESS://{self._nameless}",
            "listener.security.protocol.map":
                "SSL:SSL,SASL_SSL:SASL_SSL,NAMELESS:SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": identity,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._authority.certificate,
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+)$/$1/",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config":
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{BROKER};User:{ADMIN}",
        }


def text(value):
    """A STRING of Kafka's protocol."""
    return struct.pack(">h", len(value)) + value.encode()
