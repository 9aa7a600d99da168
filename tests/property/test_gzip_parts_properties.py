"""Parts that are compressed separately form a valid gzip file."""

from __future__ import annotations

import gzip
import zlib
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.gzip_parts import member, part

CONTENTS = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda content, times: content * times, st.binary(min_size=1, max_size=20), st.integers(1, 20_000)),
    ),
    max_size=6,
)


@given(CONTENTS)
def test_a_member_holds_its_parts_in_their_order(contents: list[bytes]) -> None:
    """Length and checksum included: Python's gzip verifies both."""
    assert gzip.decompress(member([part(content) for content in contents])) == b"".join(contents)


@given(CONTENTS)
def test_it_is_one_member_and_nothing_follows(contents: list[bytes]) -> None:
    """Not every reader goes on after the first member: browsers and curl stop there."""
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert reader.decompress(member([part(content) for content in contents])) == b"".join(contents)
    assert reader.eof
    assert reader.unused_data == b""


@given(CONTENTS, st.randoms(use_true_random=False))
def test_parts_are_used_again_in_any_order(contents: list[bytes], random: Random) -> None:
    """A part refers to nothing outside itself."""
    made = {content: part(content) for content in contents}
    shuffled = contents * 2
    random.shuffle(shuffled)
    assert gzip.decompress(member([made[content] for content in shuffled])) == b"".join(shuffled)
