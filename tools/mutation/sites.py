"""Where a C file can be changed by one token, and into what.

The text is split into tokens, so that comments, strings and preprocessor lines stay as they are: a
change of words is no change of behaviour. clang-format has been over the text, which tells a binary
operator (a space on both sides) from a sign, a pointer and an address.
"""
import dataclasses
import re

TOKEN = re.compile(r"""
    (?P<skip>\s+ | //[^\n]* | /\*.*?\*/ | ^[ \t]*\#(?:[^\n\\]|\\.)*)
  | (?P<text>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
  | (?P<number>(?:0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)[uUlLfF]*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
""", re.X | re.M | re.S)

SWAPS = {"<": ("<=", ">"), "<=": ("<",), ">": (">=", "<"), ">=": (">",), "==": ("!=",), "!=": ("==",),
         "&&": ("||",), "||": ("&&",), "+": ("-",), "-": ("+",), "*": ("+",), "/": ("*",), "%": ("/",),
         "<<": (">>",), ">>": ("<<",), "&": ("|",), "|": ("&",), "^": ("|",)}
ASSIGNS = {"+=": "-=", "-=": "+=", "*=": "=", "|=": "&=", "&=": "|=", "<<=": ">>=", ">>=": "<<="}
NOT_CALLS = {"if", "while", "for", "switch", "return", "sizeof", "do", "else", "assert", "goto"}
STATEMENT_STARTS = {";", "{", "}", ")", ":", "else"}
NOT_STATEMENTS = NOT_CALLS | {"break", "continue", "case", "default", "typedef", "static", "const",
                              "struct", "enum", "union", "extern", "_Static_assert"}


@dataclasses.dataclass(frozen=True)
class Site:
    path: str
    line: int   # from 1
    begin: int  # bytes of the text that are replaced
    end: int
    new: str
    kind: str
    runs: bool = True  # inside a function; a table's line has no code of its own


@dataclasses.dataclass
class Token:
    kind: str
    text: str
    begin: int
    end: int


def tokens_of(text):
    return [Token(match.lastgroup, match.group(), match.start(), match.end())
            for match in TOKEN.finditer(text) if match.lastgroup != "skip"]


def closing(tokens, at):
    """Index of the bracket that closes the one at `at`, or None."""
    pairs, depth = {"(": ")", "[": "]", "{": "}"}, 0
    opener = tokens[at].text
    for i in range(at, len(tokens)):
        depth += (tokens[i].text == opener) - (tokens[i].text == pairs[opener])
        if depth == 0:
            return i
    return None


def ignored_ranges(tokens):
    """Arguments of attributes and of assertions, which do no work."""
    ranges = []
    for i, token in enumerate(tokens[:-1]):
        if token.text in ("__attribute__", "_Static_assert", "assert") and tokens[i + 1].text == "(":
            end = closing(tokens, i + 1)
            if end:
                ranges.append((i, end))
    return ranges


def room_numbers(tokens):
    """Numbers that say how much room there is: in the brackets of a declaration, and as an allocation's count.
    More of it changes nothing."""
    room = set()
    for i, token in enumerate(tokens):
        end = None
        pointer = i > 2 and tokens[i - 2].text == "*" and tokens[i - 2].end == tokens[i - 1].begin
        typed = tokens[i - 3 if pointer else i - 2] if i > 1 else token  # `type name[` or `type *name[`
        if token.text == "[" and tokens[i - 1].kind == typed.kind == "name" and typed.text not in NOT_CALLS:
            end = closing(tokens, i)
            while end and tokens[end + 1].text == "[":  # x[4][6]
                end = closing(tokens, end + 1)
        elif re.fullmatch(r"NORN_(NEW|TAKE)_ARRAY", token.text):
            end = closing(tokens, i + 1)
        room.update(k for k in range(i, end or i) if tokens[k].kind == "number")
    return room


def number_changes(text):
    if re.fullmatch(r"\d+[uUlL]*", text):
        digits = re.match(r"\d+", text).group()
        rest, value = text[len(digits):], int(digits)
        return [f"{value + 1}{rest}"] + ([f"{value - 1}{rest}"] if value > 0 else [])
    if re.fullmatch(r"(\d+\.\d*|\.\d+)[fF]?", text):
        return [f"({text} + 1)"]
    return []


OPERAND = r"[A-Za-z_](?:\w|\.|->|\[\w+\])*|\d+"
BEFORE = re.compile(rf"(?:\(|= |return |[,:?] |&& |\|\| )({OPERAND}) $")
AFTER = re.compile(rf" ({OPERAND})(?: \? ({OPERAND}) : ({OPERAND})(?![\w.(\[]| [-+*/%<>&|^=?]|->)|\) ({OPERAND}) = ({OPERAND});)")


def is_tie(text, token):
    """The lesser or greater of two, which are the same where they are equal: `a < b ? a : b`, `if (a < b) a = b;`"""
    line = text.rfind("\n", 0, token.begin) + 1
    left, right = BEFORE.search(text, line, token.begin), AFTER.match(text, token.end)
    if not left or not right:
        return False
    return {left[1], right[1]} == {right[2] or right[4], right[3] or right[5]}


def operand_changes(text, tokens, i, room):
    """Changes of the one token at i: (begin, end, new, kind)."""
    token = tokens[i]
    if token.kind == "number":
        for new in number_changes(token.text)[1 if i in room else 0:]:
            yield token.begin, token.end, new, "constant"
    elif token.text in ("true", "false"):
        yield token.begin, token.end, "false" if token.text == "true" else "true", "flag"
    elif token.kind == "sign":
        spaced = text[token.begin - 1].isspace() and text[token.end:token.end + 1].isspace()
        if spaced and token.text in SWAPS:
            tie = token.text in "<=>=" and is_tie(text, token)
            for new in SWAPS[token.text]:
                if not (tie and new.strip("=") == token.text.strip("=")):
                    yield token.begin, token.end, new, "operator"
        elif token.text in ASSIGNS:
            yield token.begin, token.end, ASSIGNS[token.text], "operator"
        elif token.text == "!" and i + 1 < len(tokens):
            yield token.begin, token.end, "", "condition"


def condition_change(text, tokens, i):
    if tokens[i].text in ("if", "while") and tokens[i + 1].text == "(":
        end = closing(tokens, i + 1)
        if end and not (tokens[i].text == "while" and tokens[i + 2].text in ("true", "1")):
            inner = text[tokens[i + 1].end:tokens[end].begin]
            yield tokens[i + 1].end, tokens[end].begin, f"!({inner})", "condition"


def argument_swap(text, tokens, i):
    """f(.., a, b, ..) with two plain arguments."""
    if i + 4 >= len(tokens) or tokens[i].text not in ("(", ",") or tokens[i + 2].text != ",":
        return
    a, b = tokens[i + 1], tokens[i + 3]
    plain = all(t.kind in ("name", "number") for t in (a, b)) and tokens[i + 4].text in (",", ")")
    if plain and a.text != b.text:
        yield a.begin, b.end, b.text + text[a.end:b.begin] + a.text, "arguments"


def statement_changes(text, tokens, i, depth):
    """A statement that is left out, or a result that is not given. `depth`: of round brackets."""
    token = tokens[i]
    if i == 0 or depth or tokens[i - 1].text not in STATEMENT_STARTS:
        return
    end = next((k for k in range(i, len(tokens)) if tokens[k].text in (";", "{")), None)
    if end is None or tokens[end].text != ";":
        return
    words = tokens[i:end]
    if token.text == "return":
        given = text[words[0].end:tokens[end].begin].strip()
        if given and given not in ("0", "true", "false", "NULL", "NORN_OK", "status"):
            yield words[0].end, tokens[end].begin, " 0", "return"
        return
    if token.kind != "name" and token.text not in ("*", "("):
        return
    if token.text in NOT_STATEMENTS or words[-1].text == "}":
        return
    is_call = token.kind == "name" and len(words) > 2 and words[1].text == "(" and words[-1].text == ")"
    assign = next((k for k, t in enumerate(words) if t.text in ("=", *ASSIGNS)), None)
    # `type name = value` and `type *name = value` are declarations: a name after a name, or a space before.
    declares = assign is not None and any(
        words[k].kind == "name" and (words[k + 1].kind == "name" or words[k + 1].text == "*")
        for k in range(0, assign - 1)) and "[" not in (t.text for t in words[:assign])
    if is_call or (assign is not None and not declares):
        yield words[0].begin, tokens[end].begin, "", "statement"


def sites_of(path, text):
    """All changes of one file, in order."""
    tokens = tokens_of(text)
    found, ignored, at, depth, body_end = [], ignored_ranges(tokens), 0, 0, -1
    room = room_numbers(tokens)
    for i in range(len(tokens) - 1):
        if i > body_end and tokens[i].text == "{":  # after f(..) a body, else a table, struct or enum
            body_end = closing(tokens, i) or len(tokens)
            in_body = tokens[i - 1].text == ")"
        depth += (tokens[i].text == "(") - (i > 0 and tokens[i - 1].text == ")")
        while at < len(ignored) and i > ignored[at][1]:
            at += 1
        if at < len(ignored) and ignored[at][0] <= i:
            continue
        changes = (*operand_changes(text, tokens, i, room), *condition_change(text, tokens, i),
                   *argument_swap(text, tokens, i), *statement_changes(text, tokens, i, depth))
        for begin, end, new, kind in changes:
            line = text.count("\n", 0, begin) + 1
            found.append(Site(path, line, begin, end, new, kind, i <= body_end and in_body))
    return found


def apply(site, text):
    return text[:site.begin] + site.new + text[site.end:]


def difference(site, text):
    """(old, new) of the lines that a site changes, without the margins."""
    first = text.rfind("\n", 0, site.begin) + 1
    last = text.find("\n", site.end)
    last = len(text) if last < 0 else last
    new = text[first:site.begin] + site.new + text[site.end:last]
    return tuple(" ".join(part.split()) for part in (text[first:last], new))
