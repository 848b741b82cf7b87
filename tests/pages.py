"""README and docs taken apart: headings, links, code blocks, and the commands in them."""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / 'README.md'
PAGES = (README, ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md')))
# A block without a language is one for the shell where a line of it begins with one of these.
PROGRAMS = ('lesion-jax', 'python', 'python3', 'make', 'pip', 'label-studio', 'docker', '.')

_FENCED = re.compile(r'^( *)```(\w*)\n(.*?)^\1```$', re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r'^<!--.*?-->', re.DOTALL | re.MULTILINE)  # not what a block of code says of comments
_LINK = re.compile(r'!?\[[^\]]*\]\(([^)\s]+)\)')
_ASSIGNMENT = re.compile(r'[A-Z_]+=\S*')


def name_of(page: pathlib.Path) -> str:
  """'docs/train.md': the page below the root."""
  return page.relative_to(ROOT).as_posix()


def shown(text: str) -> str:
  """A page as its readers see it: without comments."""
  return _COMMENT.sub('', text)


def prose(text: str) -> str:
  """A page without comments and blocks of code."""
  return _FENCED.sub('', shown(text))


def links(text: str) -> list[str]:
  """The targets of all links and pictures."""
  return _LINK.findall(re.sub(r'`[^`\n]*`', '`', prose(text)))


def anchors(text: str) -> set[str]:
  """The anchors of the headings, as GitHub makes them."""
  found: dict[str, int] = {}
  names = set()
  for heading in re.findall(r'^#+ (.+?) *$', prose(text), re.MULTILINE):
    slug = re.sub(r'[^\w\- ]', '', _LINK.sub('', heading).lower()).replace(' ', '-')
    names.add(f'{slug}-{found[slug]}' if slug in found else slug)
    found[slug] = found.get(slug, 0) + 1
  return names


def blocks(text: str, language: str) -> list[str]:
  """The blocks of code of a language; '' has none."""
  return [body for _, kind, body in _FENCED.findall(shown(text)) if kind == language]


def for_the_shell(block: str) -> bool:
  """Whether a block without a language is one of commands."""
  return any(words[0] in PROGRAMS for words in _lines(block))


def commands(text: str) -> list[list[str]]:
  """The words of every command in the blocks for the shell, without comments, assignments, pipes and redirections."""
  return [words for block in blocks(text, '') if for_the_shell(block) for words in _lines(block)]


def _lines(block: str) -> Iterator[list[str]]:
  for line in block.replace('\\\n', ' ').splitlines():
    try:
      words = shlex.split(line, comments=True)
    except ValueError:  # a quote in the text of a block that is no commands
      continue
    while words and _ASSIGNMENT.fullmatch(words[0]):
      words.pop(0)
    ends = [words.index(sign) for sign in ('>', '|') if sign in words]
    if words := words[:min(ends, default=None)]:
      yield words
