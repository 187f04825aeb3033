"""survivors.txt: what is known of changes that no test notices.

A line each, five fields with ` ~ ` between them: file, kind, old text of the line, new text, why. There
is no line number, so that an entry lives as long as its line.

`FILE ~ speed ~ NAME ~ * ~ WHY` is of a constant: whatever number NAME is, within reason, the same is computed.
Its value is not changed at all."""
import dataclasses
import re

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
        self.constants = {}  # file: names
        for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.split(" ~ ")
            if len(fields) != 5 or fields[1] not in KINDS:
                raise SystemExit(f"{path}:{number}: want FILE ~ same|speed|words|missed ~ OLD ~ NEW ~ WHY")
            file, kind, old, new, why = fields
            if new == "*":
                self.constants.setdefault(file, set()).add(old)
            else:
                self.reasons[file, old, new] = Reason(kind, why)

    def is_tuning(self, path, old, new):
        """Is the value of one of those constants all that differs?"""
        def value(name):
            return re.compile(rf"\b{name} = [^,}}]+")
        return any(value(name).search(old) and value(name).sub("", old) == value(name).sub("", new)
                   for name in self.constants.get(path, ()))

    def reason(self, path, old, new):
        return self.reasons.get((path, old, new))
