"""What a rule has found: a sentence, and where, as ids only."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Found:
    what: str
    run: str = None
    slice: int = None
    subject: str = None

    def __str__(self):
        where = [f"{name} {value}" for name, value in asdict(self).items()
                 if name != "what" and value is not None]
        return self.what + (f" ({', '.join(where)})" if where else "")
