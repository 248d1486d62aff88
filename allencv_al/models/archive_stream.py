"""The container of a model archive: a gzipped tar, read and written as a stream.

Python's own `tarfile` writes. It does not read: it follows what a hostile header says (long names
and extended headers of any size, links, devices), while an archive needs plain files only.

The gzip header of an archive that we write carries the SHA-256 of all that follows it, in an "extra
field" that other tools skip (RFC 1952, section 2.3.1.1). So every single bit of the file is under a
checksum, also those that gzip's CRC and tar's header sums leave out. A file that was unpacked and
packed again has no such field; its members are still held to the manifest.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Collection, Mapping
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any

from overrides import overrides

from allencv_al.common.errors import ArchiveError
from allencv_al.common.files.atomic_file import atomic_path
from allencv_al.models.archive_format import WEIGHTS_SIZE_LIMIT, check_small_members

_CHUNK = 1 << 20
_TAR_MARK, _TAR_MARK_END = b"ustar", 262  # where POSIX has it in the header of the first member
_DIGEST_SIZE = 32
# magic, deflate, FEXTRA, no time, no extra flags, unknown system; extra field "AL" of 32 bytes
_HEADER = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack(
    "<H2sH", 4 + _DIGEST_SIZE, b"AL", _DIGEST_SIZE
)
_PLAIN_GZIP_FLAGS = (0x00, 0x08)  # none, or the file's name: what gzip and tar write
# Level 1: float weights shrink by 7 % at any level, and higher ones take several times as long.
_LEVEL = 1

# Deflate can shrink zeros 1,030 times; weights, vocabularies and JSON stay far below 50.
_MAX_RATIO = 50
_RATIO_FREE_BYTES = 64 << 20
_MAX_TRAILING_ZEROS = 1 << 20  # tar fills up to its blocking factor, 10 KiB by default
_MAX_EXTENDED_HEADER = 64 << 10
# Extended (pax) records that only describe the file on the disk it came from.
_IGNORED_RECORDS = {"atime", "ctime", "mtime", "uid", "gid", "uname", "gname", "comment"}
_IGNORED_RECORD_PREFIXES = ("SCHILY.", "LIBARCHIVE.")

_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.DIRTYPE: "a folder",
}


def write_members(path: Path, members: Mapping[str, bytes | bytearray]) -> None:
    """Write `members` in their order to a .tar.gz, whole or not at all; equal ones, equal bytes.

    Raises:
        ArchiveError: They shrink so much that `read_members` would refuse the file as a bomb.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        sink: Any = _Sink(file)  # tarfile only writes to it
        # Plain ustar ends at 8 GiB
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        sink.finish()
        if _is_bomb(sink.size, file.seek(0, io.SEEK_END)):
            raise ArchiveError(
                f"{path}: not written: its members shrink more than {_MAX_RATIO} times, and every "
                "reader would refuse it as a decompression bomb; are the weights all zero?"
            )


def read_members(
    path: Path, size_limit: Callable[[str], int], folders: Collection[str]
) -> dict[str, bytearray]:
    """Read every member of a .tar.gz into memory; nothing is written anywhere.

    A .tar without its gzip layer is read too.

    Args:
        path: The archive.
        size_limit: Gives the most bytes a member may have, or raises for a foreign name.
        folders: The folders that may have an entry of their own.

    Raises:
        ArchiveError: It is damaged, cut short, a bomb, or holds anything but plain, known files.
    """
    members: dict[str, bytearray] = {}
    left = set(folders)
    small = 0
    with path.open("rb") as file:
        stream = (_Inflated if _is_gzip(file, str(path)) else _Unpacked)(file, str(path))
        while (info := _next_member(stream)) is not None:
            if info.isdir() and info.name.rstrip("/") in left:
                left.remove(info.name.rstrip("/"))
                continue
            _check_plain_file(info, str(path))
            limit = size_limit(info.name)
            if info.name in members:
                raise ArchiveError(f"{path}: member {info.name!r} is there twice")
            if info.size > limit:
                raise ArchiveError(
                    f"{path}: member {info.name!r}: {info.size} bytes are over the limit of {limit}"
                )
            small += info.size if limit < WEIGHTS_SIZE_LIMIT else 0
            check_small_members(small, str(path))
            members[info.name] = stream.read(info.size)
            stream.expect_zeros(-info.size % tarfile.BLOCKSIZE)
        stream.finish()
    return members


def _is_bomb(unpacked: int, packed: int) -> bool:
    return unpacked > max(_RATIO_FREE_BYTES, _MAX_RATIO * packed)


class _Sink:
    """Compresses what `tarfile` writes, behind the header with the SHA-256 of it all."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self._file.write(_HEADER + bytes(_DIGEST_SIZE))
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._digest, self._crc, self.size = hashlib.sha256(), 0, 0

    def write(self, block: bytes) -> int:
        self._crc, self.size = zlib.crc32(block, self._crc), self.size + len(block)
        self._put(self._compressor.compress(block))
        return len(block)

    def finish(self) -> None:
        self._put(self._compressor.flush())
        self._put(struct.pack("<LL", self._crc, self.size & 0xFFFFFFFF))
        self._file.seek(len(_HEADER))
        self._file.write(self._digest.digest())

    def _put(self, compressed: bytes) -> None:
        self._digest.update(compressed)
        self._file.write(compressed)


class _Inflated:
    """A decompressed stream that never holds more than was asked for."""

    def __init__(self, file: BufferedReader, source: str) -> None:
        self._file = file
        self._source = source
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._read_bytes = 0
        self._given_bytes = 0

    def read(self, size: int) -> bytearray:
        """Return exactly `size` bytes."""
        content = bytearray()
        while len(content) < size:
            piece = self._some(min(size - len(content), _CHUNK))
            if not piece:
                raise self.damaged("it ends too early")
            content += piece
        return content

    def expect_zeros(self, size: int) -> None:
        """Read the filling between two members."""
        if any(self.read(size)):
            raise self.damaged("there is something between two members")

    def finish(self) -> None:
        """Read the filling at the end, and see that nothing follows it."""
        trailing = 0
        while piece := self._some(_CHUNK):
            trailing += len(piece)
            if any(piece) or trailing > _MAX_TRAILING_ZEROS:
                raise self.damaged("something follows its last member")
        self._check_end()

    def _check_end(self) -> None:
        if not self._inflate.eof:
            raise self.damaged("it ends too early")
        if self._inflate.unused_data or self._file.read(1):
            raise self.damaged("something follows its end")

    def _some(self, limit: int) -> bytes:
        """Return up to `limit` bytes; none at the end, of the stream or of the file."""
        while not self._inflate.eof:
            compressed = self._inflate.unconsumed_tail or self._file.read(_CHUNK)
            if compressed is not self._inflate.unconsumed_tail:
                self._read_bytes += len(compressed)
            try:
                piece = self._inflate.decompress(compressed, limit)
            except zlib.error as error:
                raise self.damaged(str(error)) from None
            if piece:
                self._count(len(piece))
                return piece
            if not compressed:
                return b""
        return b""

    def _count(self, size: int) -> None:
        self._given_bytes += size
        if _is_bomb(self._given_bytes, self._read_bytes):
            raise ArchiveError(
                f"{self._source}: unpacks to more than {_MAX_RATIO} times its size: "
                "refused as a decompression bomb"
            )

    def damaged(self, reason: str) -> ArchiveError:
        return ArchiveError(f"{self._source}: damaged: {reason}")


class _Unpacked(_Inflated):
    """The tar alone, as browsers save an archive whose gzip they took for an encoding.

    The SHA-256 of its header is gone with the gzip; the manifest still holds that of each member.
    """

    @overrides
    def _check_end(self) -> None:
        return  # the file has been read to its end

    @overrides
    def _some(self, limit: int) -> bytes:
        return self._file.read(limit)


def _is_gzip(file: BufferedReader, source: str) -> bool:
    """Return whether an archive is compressed; raise where it is none."""
    start = file.read(len(_HEADER))
    if start == _HEADER:
        expected = file.read(_DIGEST_SIZE)
        if hashlib.file_digest(file, "sha256").digest() != expected:
            raise ArchiveError(
                f"{source}: damaged: its content does not have the SHA-256 that its header says"
            )
    elif (start + file.read(_TAR_MARK_END - len(start))).endswith(_TAR_MARK):
        file.seek(0)
        return False
    elif start[:3] != _HEADER[:3] or start[3:4] not in {bytes([f]) for f in _PLAIN_GZIP_FLAGS}:
        found = "an empty file" if not start else f"a file that starts with {start[:4]!r}"
        raise ArchiveError(f"{source}: expected a model archive (.tar.gz), found {found}")
    file.seek(0)
    return True


def _next_member(stream: _Inflated) -> tarfile.TarInfo | None:
    """Return the next member's header; None at the end mark."""
    info = _read_header(stream)
    if info is not None and info.type == tarfile.XHDTYPE:
        _skip_extended_header(stream, info.size)
        info = _read_header(stream)
        if info is None or info.type == tarfile.XHDTYPE:
            raise stream.damaged("an extended header describes nothing")
    return info


def _read_header(stream: _Inflated) -> tarfile.TarInfo | None:
    block = bytes(stream.read(tarfile.BLOCKSIZE))
    if not any(block):
        stream.expect_zeros(tarfile.BLOCKSIZE)  # the end mark is two blocks
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise stream.damaged(f"a member's header cannot be read: {error}") from None


def _skip_extended_header(stream: _Inflated, size: int) -> None:
    if not 0 <= size <= _MAX_EXTENDED_HEADER:
        raise stream.damaged(f"an extended header has {size} bytes")
    records = bytes(stream.read(size))
    stream.expect_zeros(-size % tarfile.BLOCKSIZE)
    while records:
        length, _, rest = records.partition(b" ")
        if not length.isdigit() or not len(length) + 3 <= int(length) <= len(records):
            raise stream.damaged("an extended header cannot be read")
        key = rest.partition(b"=")[0].decode("utf-8", "replace")
        if key not in _IGNORED_RECORDS and not key.startswith(_IGNORED_RECORD_PREFIXES):
            raise stream.damaged(f"an extended header sets {key!r}, which no archive needs")
        records = records[int(length) :]


def _check_plain_file(info: tarfile.TarInfo, source: str) -> None:
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(info.type, f"of the unknown kind {info.type!r}")
        raise ArchiveError(
            f"{source}: member {info.name!r} is {kind}; a model archive holds plain files only"
        )
    if info.mode & 0o7000:
        raise ArchiveError(f"{source}: member {info.name!r} asks for special rights (setuid)")
    if info.size < 0:
        raise ArchiveError(f"{source}: member {info.name!r} has a negative size")
