"""survivors.txt: what is known of changes that no test notices.

A line each, five fields with ` ~ ` between them: file, kind, old text of the line, new text, why. There
is no line number, so that an entry lives as long as its line."""
import dataclasses

KINDS = {"same": True, "speed": True, "words": True, "missed": False}  # name: it changes no behaviour


@dataclasses.dataclass(frozen=True)
class Reason:
    kind: str
    why: str

    @property
    def excused(self):
        return KINDS[self.kind]


class Known:
    def __init__(self, path):
        self.reasons = {}
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.split(" ~ ")
            if len(fields) != 5 or fields[1] not in KINDS:
                raise SystemExit(f"{path}:{number}: want FILE ~ same|speed|words|missed ~ OLD ~ NEW ~ WHY")
            file, kind, old, new, why = fields
            self.reasons[file, old, new] = Reason(kind, why)

    def reason(self, path, old, new):
        return self.reasons.get((path, old, new))
