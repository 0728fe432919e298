"""Trees of posts as text to be read from top to bottom, without the names of those who wrote them."""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Literal, NamedTuple

Order = Literal["score", "date"]

_DEEPEST_INDENT = 10
"""Levels; deeper replies begin where those of this level do."""
_USER = re.compile(r"(?<![\w/])/?u/([A-Za-z0-9_-]{3,20})\b")
_MENTION = re.compile(r"(?<![\w.@/])@([\w.-]{1,59}\w)")
_SOMEONE = "[user]"


class Post(NamedTuple):
    id: str
    parent: str | None
    """The id of the post that it answers, if that is a post of this thread."""
    text: str
    """Markdown."""
    author: str | None
    score: int | None
    date: str
    """Sorts as text."""
    skipped: bool = False
    """It was deleted, or is not to be read; its replies are."""


class Choice(NamedTuple):
    """Which posts become text, and how."""

    order: Order
    names: bool
    """Write before each post who wrote it: `User 1` and so on, in the order in which they appear."""
    max_depth: int | None
    max_posts: int | None
    min_score: int | None


class Conversation(NamedTuple):
    text: str
    posts: int
    """In the text, the first post not counted."""
    skipped: int
    left_out: int
    """By depth, number or score."""
    depth: int
    best_score: int | None
    """Of the posts in the text but the first."""
    participants: int


def conversation(title: str, first: Post, replies: Sequence[Post], choice: Choice) -> Conversation:
    """Write a thread: its title, its first post, and all others as a list, each below what it answers.

    Of replies to a post that is not there, or to each other, none is lost: they answer the first post. A post that is
    skipped is left out, and its replies take its place.
    """
    below = _below(first, replies)
    names: dict[str, str] = {}

    def named(author: str | None) -> str:
        if author is None:
            return "Someone"
        return names.setdefault(author, f"User {len(names) + 1}")

    known = {post.author for post in (first, *replies) if post.author is not None}
    order: list[tuple[Post, int]] = []
    skipped = int(first.skipped)
    left_out = 0
    stack = [(post, 1) for post in reversed(_sorted(below.get(first.id, ()), choice.order))]
    while stack:
        post, depth = stack.pop()
        too_low = choice.min_score is not None and post.score is not None and post.score < choice.min_score
        too_deep = choice.max_depth is not None and depth > choice.max_depth
        too_many = choice.max_posts is not None and len(order) >= choice.max_posts
        if too_low or too_deep or too_many:
            left_out += 1 + _count(below, post)
            continue
        if post.skipped:
            skipped += 1
        else:
            order.append((post, depth))
        deeper = depth if post.skipped else depth + 1
        stack += [(reply, deeper) for reply in reversed(_sorted(below.get(post.id, ()), choice.order))]

    def written(post: Post) -> str:
        label = f"{named(post.author)}: " if choice.names else ""
        return label + _without_names(post.text, known, named if choice.names else None)

    parts = [f"# {title}" if title else "", "" if first.skipped or not first.text else written(first)]
    items = [_item(written(post), depth) for post, depth in order]
    parts.append(_list(items))
    scores = [post.score for post, _ in order if post.score is not None]
    return Conversation(
        text="\n\n".join(part for part in parts if part),
        posts=len(order),
        skipped=skipped,
        left_out=left_out,
        depth=max((depth for _, depth in order), default=0),
        best_score=max(scores, default=None),
        participants=len({post.author for post in (first, *(post for post, _ in order)) if not post.skipped}),
    )


def _below(first: Post, replies: Sequence[Post]) -> Mapping[str, list[Post]]:
    """Replies by the id of what they answer; every post but the first is there once, and can be reached from it."""
    posts: dict[str, Post] = {}
    for post in replies:
        if post.id != first.id:
            posts.setdefault(post.id, post)
    parents = {
        number: post.parent if post.parent in posts and post.parent != number else first.id
        for number, post in posts.items()
    }
    below: dict[str, list[Post]] = {}
    for number, post in posts.items():
        below.setdefault(parents[number] or first.id, []).append(post)
    reached: set[str] = set()

    def reach(number: str) -> None:
        stack = [number]
        while stack:
            at = stack.pop()
            reached.add(at)
            stack += [post.id for post in below.get(at, ()) if post.id not in reached]

    reach(first.id)
    for number, post in posts.items():
        if number not in reached:  # it answers one of those that answer it
            below[parents[number] or first.id].remove(post)
            below.setdefault(first.id, []).append(post)
            reach(number)
    return below


def _sorted(posts: Sequence[Post], order: Order) -> list[Post]:
    if order == "date":
        return sorted(posts, key=lambda post: (post.date, post.id))
    return sorted(posts, key=lambda post: (-(post.score or 0), post.date, post.id))


def _count(below: Mapping[str, Sequence[Post]], post: Post) -> int:
    """How many posts hang below one."""
    count = 0
    stack = [post.id]
    while stack:
        replies = below.get(stack.pop(), ())
        count += len(replies)
        stack += [reply.id for reply in replies]
    return count


def _without_names(text: str, known: Set[str], named: Callable[[str], str] | None) -> str:
    """The text without names of users: of any after `u/`, of those who take part after `@`."""

    def instead(name: str) -> str:
        return named(name) if named is not None and name in known else _SOMEONE

    if "u/" in text:
        text = _USER.sub(lambda found: instead(found[1]), text)
    if "@" in text:
        text = _MENTION.sub(lambda found: instead(found[1]) if found[1] in known else found[0], text)
    return text


def _item(text: str, depth: int) -> str:
    indent = "  " * (min(depth, _DEEPEST_INDENT) - 1)
    first, *rest = text.split("\n")
    return "\n".join([f"{indent}- {first}", *(f"{indent}  {line}" if line else "" for line in rest)])


def _list(items: Sequence[str]) -> str:
    """Items with a blank line before and after each that has one in it."""
    text = ""
    for before, item in zip(("", *items), items, strict=False):
        between = "\n\n" if "\n\n" in before or "\n\n" in item else "\n"
        text += f"{between if text else ''}{item}"
    return text
