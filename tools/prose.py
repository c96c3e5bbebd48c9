"""Check that everything a user reads is plain technical English: `python -m tools.prose`, in `make lint`.

Reads the pages, the chart's texts, the alerts' annotations, the status page and the message strings of the
program, without code blocks and code spans. Prints each phrase of the word lists with a replacement. Fails if
a phrase of `NEVER` occurs, or if all phrases together reach `ALLOWED` per 1,000 words over all texts.

A new entry must be a phrase that an editor would change wherever it occurs.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent
ALLOWED: Final = 1.0
"""Idioms per 1,000 words, over all texts; below this."""

NEVER: Final[Mapping[str, str]] = {
    r"anew": "again; regenerated",
    r"mend(s|ed|ing)?": "fix",
    r"rings?|rang": "fires",
    r"whoever": "anyone who; the subject itself",
    r"nobody('s)?": "no one; use the passive",
    r"(hold|holds|held|holding) ((?!against)\S+ ){0,3}against": "check against; validate",
    r"stands? in (?!for\b)": "is documented in; is in",
    r"(tell|tells|told) of": "report; cover",
    r"(is|are) what (it|they) (is|are)": "name the reason",
    r"for want of": "because there is no; for lack of",
    r"com(e|es|ing) to nothing": "fail; have no effect",
    r"at the (most|least)": "at most; at least",
    r"(says?|said|saying) so": "log it; report it",
    r"visitors?": "clients; connections",
    r"watchers?": "observers",
    r"vigil": "watchdog",
    r"narrator": "log observer",
    r"revival": "resume",
    r"(front )?door": "web service",
    r"a loop has died|counters wait until": "background task crashed; counters frozen until",
    r"settings wrong|failed at its work": "invalid configuration; runtime failure",
    r"least level|one request, whole": "minimum log level; total timeout per request",
    r"as of when": "the time of",
}

AVOID: Final[Mapping[str, str]] = {
    # Relative clauses without a noun, and other inversions.
    r"(?:^|(?<=[.;:]\s))what [^.?!\n|]+\.(?=\s|$)": "name the subject; end a question with a question mark",
    r"(?:^|(?<=[.;:]\s)|(?<=\|\s))who [^.?!\n|]+[.,|]": "name the subject: clients that, users who",
    r"all (that|who)": "everything that; everyone who",
    r"by (why|how they)": "by reason; by outcome",
    r"(?<!there )(?<!if )(is|are) no (?!longer|more|need|\w+er\b)": "is not a",
    r"(?<!there )(is|are) none of": "is not one of",
    r"(is|are) of (no|an?) ": "has no; belongs to",
    # Things are not persons.
    r"(is|are|was|were|be|been) told|unless told": "receives; is notified; by default",
    r"tells": "reports; prints; explains",
    r"(it|that|which|tests?|command|check|helm|kubernetes|prometheus|exporter) wants?": "requires; needs",
    r"knows? (nothing )?of": "does not depend on; does not contain",
    r"knows? nothing": "is independent of",
    r"believ(e|ed|es|ing)": "use; trust",
    r"lets no": "prevents",
    r"(asks|keep|keeps|lets?) us": "name the program or the client",
    r"ask(s|ed)? (of|for nothing)": "request from; send no",
    r"knock(s|ed|ing)?": "connect",
    r"(is|are) blind": "cannot detect; cannot fire",
    r"(is|was) ill": "fails; is unavailable",
    r"(is|are|it) well(?![- ](formed|known|defined|below|above|within|as)|\w)": "is healthy",
    r"fares?|fared": "status; result",
    r"affairs?": "responsibility",
    r"speaks? of": "names; describes",
    # Words of other languages in English.
    r"stands?(?! (by|for|out)\b)": "is; is written",
    r"loops? (still )?turns?|(process|processes) turns?": "runs",
    r"turns? of the (event )?loop": "callback; iteration of the event loop",
    r"in force": "active; in effect",
    r"for good(?! (reason|measure))": "permanently",
    r"and (its|their|the) like": "and similar",
    r"thereby": "so; which",
    r"so many(?! \w+ that| that)": "this many; name the number",
    r"(by (itself|themselves))": "automatically; separately; on its own",
    r"of (its|their|your|our) own": "separate; own; your own",
    r"of yours": "your",
    r"ever (more|longer|fewer|rarer|less|new)": "less and less; increasingly",
    r"go(es)? on": "continue",
    r"taken? for": "treat as",
    r"gr(ow|ows|ew) old|gets? old": "go stale",
    r"(is|are) gone": "is missing; has elapsed",
    r"shall": "must; will",
    r"beside": "next to; compared with; together with",
    r"meanwhile(?=[.;:])": "in the meantime; until then",
    r"quarter of an hour": "15 minutes",
    r"hand(s|ed)? on": "pass",
    r"(are|is) content": "are satisfied",
    r"made up": "generated",
    r"be had": "be available",
    r"as (\S+ ){1,3}has it": "as in; like",
    r"nothing (new )?of": "nothing about",
    r"(is|are|not) looked at": "is checked; is read",
    r"for people": "human-readable",
    r"says? (nothing|something) (of|about)": "regardless of; name the fact",
    r"come(s)? (alone|more rarely)": "is inhibited; polls less often",
    r"a word too many": "unexpected argument",
    r"judged by": "estimated from",
    r"no answer that": "no usable answer",
    r"mistakes? (of|in) (ours|the exporter)": "bug; internal error",
    r"our clock": "the local clock",
    r"one \w+ of (two|three|four|five|ten)": "one of; one out of",
    r"labels of everything": "labels added to all resources",
    r"has not been tried|have not been tried|what was tried": "not yet tested",
    r"the gate": "CI",
    r"gets? out of": "leaves",
    r"given up": "decommissioned; removed",
    r"pass(es)? for": "be mistaken for",
    r"how bad": "severity",
    r"as there(?=[.,;])": "as described there",
    r"(some|any)body": "someone; anyone",
    r"as ever": "as usual",
    r"at hand": "available",
    r"h[au]ngs? up": "close the connection",
    r"gets? (its|their) turn": "run; be scheduled",
    # Private words that have a standard term.
    r"worst (operations|first)": "top failing operations; most failures first",
    r"stretch(es)?": "listed interval; increase",
    r"conductor": "orchestrator; poller",
    r"forecast": "estimate",
    r"ticks?": "interval; scheduled time",
    r"(a|the|its) hold|holds? is over|holds? (all|every|the whole) (requests?|account)": "pause",
    r"(its|their|the) pace|pace of": "rate limiter; rate",
    r"(its|their|the) \*?marks?\*?(?! of)": "high-water mark",
}


class Finding(NamedTuple):
    line: int
    phrase: str
    better: str
    never: bool


def compiled(phrases: Mapping[str, str]) -> list[tuple[re.Pattern[str], str]]:
    flags = re.IGNORECASE | re.MULTILINE
    return [(re.compile(rf"(?<![\w-])(?:{p})(?![\w-])", flags), better) for p, better in phrases.items()]


PATTERNS: Final = [
    (pattern, better, never)
    for phrases, never in ((NEVER, True), (AVOID, False))
    for pattern, better in compiled(phrases)
]


def findings(prose: str) -> list[Finding]:
    """The phrases of the word lists in a text, by line; a phrase may continue on the next line."""
    text = unwrapped(prose)
    found = [
        Finding(prose.count("\n", 0, match.start()) + 1, match[0].strip()[:60], better, never)
        for pattern, better, never in PATTERNS
        for match in pattern.finditer(text)
    ]
    return sorted(found)


def unwrapped(prose: str) -> str:
    """One paragraph on one line; the length stays the same."""
    return re.sub(r"\n(?=[ \t]*(?![-*|#>]|\d+\. )\S)", " ", prose)


def blank(match: re.Match[str]) -> str:
    """Replace text that is not prose by spaces, so that line numbers stay the same."""
    return re.sub(r"[^\n]", " ", match[0])


def markdown_prose(text: str) -> str:
    """Without code blocks, code spans, comments and the targets of links."""
    for not_prose in (r"^ *```.*?^ *```$", r"<!--.*?-->", r"\]\([^)\s]*\)", r"<https?:[^>]*>"):
        text = re.sub(not_prose, blank, text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`]*`", lambda span: re.sub(r"[^\n]", "_", span[0]), text)


def comments(text: str) -> str:
    """The sentences in the comments of a YAML file; commented-out settings are left out."""
    found = (re.search(r"(?:^|\s)# (?:-- )?([A-Z].*)", line) for line in text.splitlines())
    return markdown_prose("\n".join(comment[1] if comment else "" for comment in found))


def annotations(text: str) -> str:
    """Summaries and descriptions of alerts, without template code."""
    kept, inside = [], False
    for line in text.splitlines():
        starts = bool(re.match(r" +(summary|description): >-$", line))
        inside = starts or (inside and bool(re.match(r" {12}\S", line)))
        kept.append(line if inside and not starts else "")
    return re.sub(r"\{\{.*?\}\}|<<.*?>>", blank, "\n".join(kept), flags=re.DOTALL)


def template_prose(text: str) -> str:
    """The words of an HTML page or of the chart's notes, without tags and template code."""
    return re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<code>.*?</code>|<[^>]*>", blank, text, flags=re.DOTALL)


def messages(source: str) -> str:
    """The strings of a Python module that hold more than one word, each on its line; no docstrings."""
    lines = [""] * (source.count("\n") + 1)
    for number, string in strings(ast.parse(source)):
        if " " in string.strip():
            lines[number - 1] += f"{string} | "
    return markdown_prose("\n".join(lines))


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """String constants and f-strings on one line, with their line; an expression in one becomes `{}`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        if isinstance(node, ast.JoinedStr):
            parts = (str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, re.sub(r"\s", " ", "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, re.sub(r"\s", " ", node.value)
        else:
            yield from strings(node)


SOURCES: Final[tuple[tuple[str, Callable[[str], str]], ...]] = (
    ("*.md", markdown_prose),
    ("docs/*.md", markdown_prose),
    ("helm/*/README.md", markdown_prose),
    ("helm/*/values.yaml", comments),
    ("helm/*/templates/NOTES.txt", template_prose),
    ("grafana/alerts.yaml.jinja", annotations),
    ("exporter/web/templates/*.html", template_prose),
    ("exporter/**/*.py", messages),
)
"""HELP texts and descriptions of settings are among the strings of `exporter`."""


def words(prose: str) -> int:
    return len(re.findall(r"[^\W\d_][\w'-]*", prose))


class Text(NamedTuple):
    name: str
    words: int
    findings: list[Finding]


def texts(root: Path) -> Iterator[Text]:
    """Everything a user reads."""
    for pattern, prose_of in SOURCES:
        for file in sorted(root.glob(pattern)):
            prose = prose_of(file.read_text(encoding="utf-8"))
            yield Text(str(file.relative_to(root)), words(prose), findings(prose))


def report(all_texts: Iterable[Text]) -> bool:
    """Print the findings and their rate; gives whether the texts pass."""
    read, idioms, forbidden = 0, 0, False
    for text in all_texts:
        read += text.words
        idioms += len(text.findings)
        for each in text.findings:
            forbidden |= each.never
            severity = "never" if each.never else "avoid"
            print(f"{text.name}:{each.line}: {severity} “{each.phrase}”: {each.better}")
    rate = 1000 * idioms / max(1, read)
    print(f"{read:,} words, {idioms} idioms: {rate:.2f} per 1,000 words, allowed are less than {ALLOWED:g}")
    return not forbidden and rate < ALLOWED


if __name__ == "__main__":
    sys.exit(not report(texts(ROOT)))
