"""Compression of checkpoints: ids as bytes, bodies deflated with a shared dictionary."""

import re
import zlib

from ml_intern.configs.errors import DatabaseUnusable

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WINDOW = 16 * 1024
_CHECKSUM = 4
_GREGORIAN_TICKS = 0x01B21DD213814000
"""The offset between UUID time (from 1582) and the epoch, in units of 100 ns (RFC 9562)."""

TASK_DICTIONARY = (
    b"\xa4type\xa4system\xa4type\xa5human\xa2id\xa7example\xc2\xadreasoning_content\xaddecisions\xa4plan\xa4text"
    b"\xa6status\xa7pending\xabin_progress\xa4done\xa8question\xa7outcome\xaacompaction\xaftaint\xadreported_runs"
    b"\xa4turn\xa9turn_text\xabturn_before\xa3day\xadcontext_limit\xb2compact\xaabefore_model\x96\xa6~"
    b"\xadbash\xa4read\xa5write\xa4edit\xa4path\xa7content\xa7command\xa6python\xa9tool_name"
    b"\x94\xbflangchain_core.messages.human\xacHumanMessage\xb7langchain_core.messages.tool\xabToolMessage"
    b"\x8a\xa7content\xa0\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa4tool\xa4name\xa2id"
    b"\xactool_call_id\xa8artifact\xc0\xa6status\xa7success\xb3model_validate_json\xa5error"
    b"\xbdlangchain_core.messages.ai\xa9AIMessage\x8a\xa7content\xa0\xb1additional_kwargs\x80\xb1response_metadata"
    b"\x82\xa5model\xadfinish_reason\xaatool_calls\xa4stop\xa4type\xa2ai\xa4name\xc0\xa2id\xd9\x24msg_"
    b"\xaatool_calls\x91\x84\xa4name\xa4bash\xa4args\x81\xa7command\xa2id\xd9\x25call_\xa4type\xa9tool_call"
    b"\xb2invalid_tool_calls\x90\xaeusage_metadata\x85\xacinput_tokens\xcd\xadoutput_tokens\xcc\xactotal_tokens\xcd"
    b"\xb3input_token_details\x81\xaacache_read\xb4output_token_details\x81\xa9reasoning\xb3model_validate_json"
    b"\x96\xc0\xadstreak\xa6nudges\xa9malformed\xa5empty\xa3cut\xa5guard\xacrecent_calls\xadcontext_tokens"
    b"\xa9iteration\xa8messages\xb3branch:to:call_model\xb4branch:to:doom_check\xbcbranch:to:approval_interrupt"
    b"\xb7branch:to:execute_tools\xb1branch:to:compact\xd9\x20~__pregel_pull, call_model~__pregel_pull, doom_check"
    b"~__pregel_pull, approval_interrupt~__pregel_pull, execute_tools"
)
"""Byte sequences common to the writes of ml-intern's tasks. Part of the file format: never change it."""


def pack_id(id: str) -> bytes | str:
    """Return a UUID as 16 bytes, which sort like its text; return any other id unchanged."""
    return bytes.fromhex(id.replace("-", "")) if _UUID.fullmatch(id) else id


def unpack_id(packed: bytes | str) -> str:
    """Return the id from the result of `pack_id`."""
    if isinstance(packed, str):
        return packed
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_timestamp(id: str) -> float:
    """Return a checkpoint's creation time in seconds since the epoch from its UUIDv6; 0.0 for any other id."""
    if not _UUID.fullmatch(id) or id[14] != "6":
        return 0.0
    ticks = int(id[:8] + id[9:13] + id[15:18], 16)
    return (ticks - _GREGORIAN_TICKS) / 1e7


def deflate(raw: bytes, base: bytes) -> bytes:
    """Compress `raw` with `base` as dictionary and add a checksum, which SQLite does not provide."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS, zdict=base)
    return zlib.crc32(raw).to_bytes(_CHECKSUM) + packer.compress(raw) + packer.flush()


def inflate(packed: bytes, base: bytes) -> bytes:
    """Undo `deflate` with the same base. Raises DatabaseUnusable if the bytes are damaged."""
    try:
        raw = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=base).decompress(packed[_CHECKSUM:])
    except zlib.error as error:
        raise damaged_row() from error
    if zlib.crc32(raw).to_bytes(_CHECKSUM) != packed[:_CHECKSUM]:
        raise damaged_row()
    return raw


def damaged_row() -> DatabaseUnusable:
    """Return the error for a damaged checkpoint in an otherwise readable database."""
    return DatabaseUnusable("a checkpoint of this thread is damaged", "undo to an earlier turn, or fork from one")


def compression_dictionary(raw: bytes) -> bytes:
    """Return the end of `raw` as a compression dictionary, since only this much fits the window."""
    return raw[-_WINDOW:]
