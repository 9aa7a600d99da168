"""Follow number files while the exporter runs: what they hold now, by content, whatever their times say.

- What a file holds counts when two looks in a row found it equal: before, it may be half written.  A file that differs
  at every look for two minutes is faulty.
- Of a file that is faulty, unreadable or gone, the last good list stays in force.  The log says so once.
- A new file that a glob names is taken in.  A good file whose list lacks a number takes the number away.
- Files are judged together: a number may move from one file to another.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import islice

from exporter.config.crowding import crowded, log_news
from exporter.config.number_files.files import Content, contents, shown
from exporter.config.number_files.lists import FileList, digest
from exporter.config.numbers import NumberReader, Places
from exporter.config.settings import AccountConfig, Config, NumberFiles
from exporter.errors import ConfigError
from exporter.logs import fields

logger = logging.getLogger(__name__)

GONE = "is gone or cannot be found; restore it, or reload the configuration to take its numbers away"
UNSETTLED = "was different at every look for two minutes; change it less often, at most every 30 s"

MAX_CHANGES = 12
"""A file that differs in so many looks in a row is a fault: it would never count, and nobody would know."""


class FollowedFiles:
    """The number files of a configuration that was just read.  For one thread at a time, except `up`."""

    def __init__(self, config: Config) -> None:
        self._accounts = {
            account.name: _Account(account, account.number_files)
            for account in config.accounts
            if account.number_files is not None
        }

    def up(self) -> Mapping[str, bool]:
        """Each file, and whether what it holds is in force."""
        found: dict[str, bool] = {}
        for account in self._accounts.values():
            for file, is_up in account.up.items():
                found[file] = is_up and found.get(file, True)
        return found

    def look(self, config: Config) -> Config:
        """`config` with the lists that the files hold now; `config` itself where they are as before."""
        accounts = tuple(
            followed.look(account) if (followed := self._accounts.get(account.name)) is not None else account
            for account in config.accounts
        )
        is_same = all(new is old for new, old in zip(accounts, config.accounts, strict=True))
        return config if is_same else replace(config, accounts=accounts)


class _Account:
    """The number files of one account.

    `up` is replaced as a whole.  `_seen` has the digest of each file at the last look, `_judged` the one that was
    equal in two looks and then judged.  `_changes` counts the looks in a row that found a file different.
    """

    def __init__(self, account: AccountConfig, files: NumberFiles) -> None:
        self._files = files
        self._name = account.name
        self._seen = {of.file: of.digest for of in account.lists[1:]}
        self._judged = dict(self._seen)
        self._changes: Mapping[str, int] = {}
        self._faults: dict[str, tuple[str, ...]] = {}
        self.up: Mapping[str, bool] = dict.fromkeys(self._seen, True)

    def look(self, account: AccountConfig) -> AccountConfig:
        """`account` with the numbers that the files hold now; `account` itself where nothing has changed."""
        in_force = {of.file: of.digest for of in account.lists[1:]}
        found = self._contents(in_force)
        digests = {name: digest(content) for name, content in found.items()}
        changed = {name for name, now in digests.items() if self._seen.get(name) != now}
        self._seen = dict(digests)
        self._changes = {name: self._changes.get(name, 0) + 1 for name in changed}
        restless = {name for name, count in self._changes.items() if count >= MAX_CHANGES}
        found |= dict.fromkeys(restless, UNSETTLED)
        digests |= dict.fromkeys(restless, digest(UNSETTLED))
        settled = digests.keys() - changed | restless
        news = {name: digests[name] for name in settled if self._judged.get(name) != digests[name]}
        if not news:
            return account
        self._judged |= news
        for name in [name for name in settled - in_force.keys() if found[name] is GONE]:
            settled.discard(name)
            self._faults.pop(name, None)
            del self._judged[name]
        good, faults = self._read(
            {name: found[name] for name in sorted(settled) if in_force.get(name) != digests[name]}
        )
        accepted = self._accepted(account, good, faults)
        self._note(in_force.keys(), settled, accepted, faults)
        if not accepted:
            return account
        merged = _merged(account, accepted)
        before, now = (crowded(each, each.times()) for each in (account, merged))
        log_news(account.name, before, now)
        return merged

    def _contents(self, in_force: Collection[str]) -> dict[str, Content]:
        """What each file holds that is there now, is in force, or was faulty at the last look.

        A glob whose files cannot be found has an entry of its own: it may name files that nobody knows yet.
        """
        found: dict[str, Content] = {}
        missing = GONE
        for pattern in self._files.globs:
            try:
                found |= contents(self._files, pattern)
            except ValueError as error:
                found[shown(self._files, pattern)] = missing = str(error)
        return dict.fromkeys((*in_force, *self._faults), missing) | found

    def _read(self, found: Mapping[str, Content]) -> tuple[dict[str, FileList], dict[str, tuple[str, ...]]]:
        """The good files, each looked at alone, and the faults of the others."""
        reader = NumberReader(self._name, self._files.labeller)
        good: dict[str, FileList] = {}
        faults: dict[str, tuple[str, ...]] = {}
        for name, content in found.items():
            try:
                read = FileList(name, content, self._files, reader)
                read.compare(Places(self._files.labeller))
                read.check()
            except ConfigError as error:
                faults[name] = error.faults
            else:
                good[name] = read
        return good, faults

    def _accepted(
        self, account: AccountConfig, changed: dict[str, FileList], faults: dict[str, tuple[str, ...]]
    ) -> dict[str, FileList]:
        """Those of the `changed` files that clash with no list that stays, nor with each other.

        A file that clashes keeps its old list, which may clash with another changed file: then all are compared again.
        """
        accepted = dict(changed)
        while True:
            places = Places(self._files.labeller)
            for number, (file, line) in zip(account.numbers, account.places(), strict=True):
                if file not in accepted:
                    places.add(number, file, line)
            clashing = next((name for name, read in accepted.items() if read.compare(places)), None)
            if clashing is None:
                return accepted
            try:
                accepted.pop(clashing).check()
            except ConfigError as error:
                faults[clashing] = error.faults

    def _note(
        self,
        in_force: AbstractSet[str],
        settled: AbstractSet[str],
        accepted: Mapping[str, FileList],
        faults: Mapping[str, tuple[str, ...]],
    ) -> None:
        """Log what is new about the files that are `settled`, and note which files are faulty now."""
        for name, said in faults.items():
            if self._faults.get(name) != said:
                numbers = "its last good list stays in force" if name in in_force else "it adds none"
                logger.error(
                    "number file refused",
                    extra=fields(
                        account=self._name, file=name, numbers=numbers, error=said[0], more_faults=len(said) - 1
                    ),
                )
        for name in sorted(settled - faults.keys()):
            if name in accepted:
                count = len(accepted[name].numbers)
                logger.info("number file taken over", extra=fields(account=self._name, file=name, numbers=count))
            elif name in self._faults:
                logger.info("number file is good again", extra=fields(account=self._name, file=name))
        self._faults = {name: said for name, said in self._faults.items() if name not in settled}
        self._faults |= faults
        self.up = {name: name not in self._faults for name in sorted({*in_force, *accepted, *self._faults})}


def _merged(account: AccountConfig, accepted: Mapping[str, FileList]) -> AccountConfig:
    """`account` with the lists of the `accepted` files: the configuration's own first, then those of files by name."""
    numbers = iter(account.numbers)
    typed, *of_files = ((of, tuple(islice(numbers, len(of.lines)))) for of in account.lists)
    parts = {of.file: (of, its) for of, its in of_files}
    parts |= {name: (read.list, tuple(read.numbers)) for name, read in accepted.items()}
    lists = (typed, *(part for _, part in sorted(parts.items())))
    together = tuple(number for _, its in lists for number in its)
    return account.with_numbers(together, tuple(of for of, _ in lists))


def log_files_that_left(old: Config, new: Config) -> None:
    """Log the number files that accounts had and no longer have: one may be gone by accident."""
    files = {account.name: {of.file for of in account.lists} for account in new.accounts}
    for account in old.accounts:
        for of in account.lists[1:]:
            if account.name in files and of.file not in files[account.name]:
                logger.warning(
                    "number file left, its list is no longer in force",
                    extra=fields(account=account.name, file=of.file, numbers=len(of.lines)),
                )
