"""The table of read-only programs and their allowed options. All other programs are asked about."""

from ml_intern.safety.shell.options import ReadOnly
from ml_intern.safety.shell.programs import (
    check_awk,
    check_date,
    check_find,
    check_jq,
    check_printf,
    check_ps,
    check_sed,
    check_seq,
    check_sleep,
    check_tar,
    check_test,
)
from ml_intern.text.word_table import words

_SUMS = ReadOnly("btz", "binary text tag zero", lists_names=True)
_GREP = ReadOnly(
    "EFGPivwxcLlqsoHhbnzZaIryTUe:m:A:B:C:D:d:f@",
    "extended-regexp fixed-strings basic-regexp perl-regexp ignore-case no-ignore-case invert-match word-regexp "
    "line-regexp "
    "count color=? colour=? files-without-match files-with-matches max-count= only-matching quiet silent no-messages "
    "byte-offset with-filename no-filename label= line-number initial-tab null after-context= before-context= context= "
    "text binary-files= devices= directories= exclude= exclude-dir= exclude-from=@ include= recursive line-buffered "
    "null-data regexp= file=@",
    "pattern",
    number=True,
    pattern_options=frozenset({"e", "f", "regexp", "file"}),
)
_AWK = ReadOnly("F:v:", "", "pattern", check=check_awk)
_VERSION_ONLY = ReadOnly("", "version", "none", needs_option=True)

READ_ONLY_PROGRAMS: dict[str, ReadOnly] = {
    # names and sizes
    "ls": ReadOnly(
        "aAbBcCdDfFgGhHiklLmnNopqQrRsStuUvxXZ1I:T:w:",
        "all almost-all author escape block-size= ignore-backups color=? directory classify=? file-type format= "
        "full-time "
        "group-directories-first no-group human-readable si indicator-style= inode ignore= hide= dereference "
        "numeric-uid-gid "
        "literal quote-name quoting-style= reverse recursive size sort= time= time-style= width= zero",
        lists_names=True,
    ),
    "stat": ReadOnly("Lftc:", "dereference file-system format= printf= terse", lists_names=True),
    "file": ReadOnly("bihkLNnprv0F:", "brief mime mime-type mime-encoding keep-going dereference no-buffer version"),
    "du": ReadOnly(
        "abcDhHklmPsSx0d:t:B:",
        "all apparent-size bytes total human-readable si summarize separate-dirs max-depth= threshold= time=? "
        "time-style= "
        "exclude= exclude-from=@ block-size= one-file-system inodes",
        lists_names=True,
        caches=True,
    ),
    "df": ReadOnly("ahHiklPTt:x:B:", "all human-readable si inodes local output=? portability total type= "
    "exclude-type= print-type", "text"),
    "tree": ReadOnly(
        "adfipshDFrtugcASnNCxqvJXL:P:I:",
        "dirsfirst filesfirst noreport charset= filelimit= gitignore prune du si inodes device matchdirs ignore-case "
        "sort=",
        lists_names=True,
    ),
    "find": ReadOnly(raw=True, lists_names=True, check=check_find),
    "fd": ReadOnly("HIsigFap0e:t:d:E:c:S:", "hidden no-ignore glob fixed-strings absolute-path full-path extension= "
    "type= max-depth= exclude= color= size=", "pattern"),
    "realpath": ReadOnly("ePmLqsz", "canonicalize-existing canonicalize-missing logical physical quiet strip "
    "no-symlinks relative-to=@ relative-base=@", lists_names=True),
    "readlink": ReadOnly("femnqsvz", "canonicalize canonicalize-existing canonicalize-missing no-newline "
    "quiet", lists_names=True),
    "pwd": ReadOnly("LP", "", "none"),
    "basename": ReadOnly("azs:", "multiple suffix= zero", "text"),
    "dirname": ReadOnly("z", "zero", "text"),
    "test": ReadOnly(operands="text", raw=True, check=check_test),
    # contents
    "cat": ReadOnly("AbeEnstTuv", "show-all number-nonblank show-ends number squeeze-blank show-tabs show-nonprinting"),
    "tac": ReadOnly("brs:", "before regex separator="),
    "head": ReadOnly("qvzn:c:", "lines= bytes= quiet silent verbose zero-terminated", number=True),
    "tail": ReadOnly("qvzn:c:", "lines= bytes= quiet silent verbose zero-terminated", number=True),
    "nl": ReadOnly("pb:d:f:h:i:l:n:s:v:w:", "body-numbering= number-width= number-format= line-increment= "
    "starting-line-number="),
    "wc": ReadOnly("clLmw", "bytes chars lines words max-line-length total="),
    "grep": _GREP,
    "egrep": _GREP,
    "fgrep": _GREP,
    "rg": ReadOnly(
        "nisSwxvcloqNHIUFPp0abue:g:t:T:A:B:C:m:M:j:r:f@d:",
        "files type-list no-heading heading hidden no-ignore no-ignore-vcs json stats count count-matches "
        "files-with-matches "
        "files-without-match ignore-case smart-case case-sensitive line-number no-line-number column vimgrep "
        "fixed-strings "
        "word-regexp line-regexp sort= sortr= max-depth= max-count= max-filesize= glob= iglob= type= type-not= "
        "context= "
        "after-context= before-context= max-columns= max-columns-preview color= multiline multiline-dotall pcre2 "
        "only-matching invert-match no-filename with-filename quiet trim passthru null encoding= no-messages text "
        "ignore-file=@ file=@ regexp= replace= threads= one-file-system no-config context-separator=",
        "pattern",
        pattern_options=frozenset({"e", "f", "regexp", "file", "files", "type-list"}),
    ),
    "sort": ReadOnly(
        "bdfghiMnRrsuVzcCmk:t:",
        "ignore-leading-blanks dictionary-order ignore-case general-numeric-sort human-numeric-sort month-sort "
        "numeric-sort "
        "random-sort reverse stable unique version-sort zero-terminated check=? merge key= field-separator= sort=",
    ),
    "uniq": ReadOnly("cdDuizf:s:w:", "count repeated unique ignore-case skip-fields= skip-chars= check-chars= "
    "group=?", max_operands=1),
    "cut": ReadOnly("nszb:c:d:f:", "bytes= characters= delimiter= fields= only-delimited complement output-delimiter= "
    "zero-terminated"),
    "tr": ReadOnly("cCdst", "complement delete squeeze-repeats truncate-set1", "text", max_operands=2),
    "rev": ReadOnly(),
    "fold": ReadOnly("bsw:", "bytes spaces width="),
    "fmt": ReadOnly("cstuw:p:g:", "width= split-only uniform-spacing", number=True),
    "paste": ReadOnly("szd:", "serial delimiters= zero-terminated"),
    "join": ReadOnly("ia:e:j:o:t:v:1:2:", "ignore-case check-order nocheck-order header zero-terminated"),
    "comm": ReadOnly("123iz", "check-order nocheck-order output-delimiter= total zero-terminated"),
    "column": ReadOnly("txneJs:o:c:N:R:", "table separator= output-separator= columns= table-columns= json"),
    "expand": ReadOnly("it:", "initial tabs="),
    "unexpand": ReadOnly("at:", "all first-only tabs="),
    "diff": ReadOnly(
        "uqyabBceinpstTwEZdHU:C:W:x:I:F:",
        "unified=? context=? brief report-identical-files side-by-side ignore-case ignore-all-space "
        "ignore-space-change ignore-blank-lines ignore-trailing-space text color=? exclude= width= "
        "suppress-common-lines "
        "strip-trailing-cr minimal label= show-c-function no-dereference",
    ),
    "cmp": ReadOnly("bli:n:s", "print-bytes verbose silent quiet bytes= ignore-initial="),
    "strings": ReadOnly("afwn:t:e:s:", "all bytes= radix= encoding= print-file-name"),
    "od": ReadOnly("abcdfilosxvA:j:N:t:w:", "address-radix= skip-bytes= read-bytes= format= width=? output-duplicates"),
    "hexdump": ReadOnly("bcCdovxn:s:e:", "canonical length= skip="),
    "xxd": ReadOnly("beipuc:g:l:s:", "", max_operands=1),
    "base64": ReadOnly("diDw:", "decode ignore-garbage wrap=", max_operands=1),
    "base32": ReadOnly("diw:", "decode ignore-garbage wrap=", max_operands=1),
    "zcat": ReadOnly(),
    "jq": ReadOnly("rcnseSMCaj", "raw-output compact-output null-input slurp exit-status sort-keys tab indent= "
    "monochrome-output join-output ascii-output", "pattern", check=check_jq),
    "sed": ReadOnly("nErsuz", "quiet silent regexp-extended separate unbuffered null-data posix", "pattern",
    check=check_sed),
    "awk": _AWK,
    "gawk": _AWK,
    "mawk": _AWK,
    "tar": ReadOnly("tvzjJaf@", "list verbose gzip bzip2 xz file=@", "pattern", check=check_tar),
    "unzip": ReadOnly("lZv", "", max_operands=1, needs_option=True),
    **dict.fromkeys(words("md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum sum"), _SUMS),
    # texts and numbers
    "echo": ReadOnly(operands="text", raw=True),
    "printf": ReadOnly(operands="text", raw=True, check=check_printf),
    "true": ReadOnly(operands="text", raw=True),
    "false": ReadOnly(operands="text", raw=True),
    ":": ReadOnly(operands="text", raw=True),
    "seq": ReadOnly("ws:f:", "equal-width separator= format=", "text", max_operands=3, check=check_seq),
    "expr": ReadOnly(operands="text", raw=True),
    "numfmt": ReadOnly("d:", "from= to= suffix= padding= field= delimiter= round= header=? invalid=", "text"),
    "sleep": ReadOnly(operands="text", max_operands=1, check=check_sleep),
    # the machine
    "date": ReadOnly("uRd:r@", "utc universal iso-8601=? rfc-3339= rfc-email date= reference=@", "text", max_operands=1,
    check=check_date),
    "uname": ReadOnly("asnrvmpio", "all kernel-name nodename kernel-release kernel-version machine processor "
    "operating-system", "none"),
    "hostname": ReadOnly("fsiIdA", "fqdn long short ip-address all-ip-addresses domain all-fqdns", "none"),
    "arch": ReadOnly(operands="none"),
    "nproc": ReadOnly("", "all ignore=", "none"),
    "whoami": ReadOnly(operands="none"),
    "id": ReadOnly("ugGnrz", "user group groups name real zero", "text"),
    "groups": ReadOnly(operands="text"),
    "uptime": ReadOnly("ps", "pretty since", "none"),
    "free": ReadOnly("bkmghwtlv", "bytes kilo mega giga tera human wide total lohi si", "none"),
    "lscpu": ReadOnly("abceJpxy", "all online offline json extended=? parse=? caches=?", "none"),
    "lsblk": ReadOnly("abdfilmnoprstJo:", "all bytes nodeps fs json list output= paths", "none"),
    "getconf": ReadOnly("a", "", "text"),
    "locale": ReadOnly("amck", "all-locales charmaps category-name keyword-name", "text"),
    "tty": ReadOnly("s", "silent quiet", "none"),
    "ps": ReadOnly("eAafFljwHLTu:p:o:C:U:g:", "sort= no-headers forest pid= format= cols= width= user= "
    "ppid=", "text", check=check_ps),
    "nvidia-smi": ReadOnly("Lqxi:d:", "list-gpus query query-gpu= query-compute-apps= format= id= display= xml-format "
    "help-query-gpu", "none"),
    "which": ReadOnly("as", "all", "text"),
    "type": ReadOnly("aftpP", "", "text"),
    **dict.fromkeys(
        words("python python3 pip pip3 uv git gcc g++ clang cmake node npm nvcc conda docker ruff mypy java hf bash "
            "curl wget"),
        _VERSION_ONLY,
    ),
}  # fmt: skip

SUBCOMMANDS: dict[tuple[str, str], ReadOnly] = {
    ("command", "-v"): ReadOnly(operands="text"),
    ("command", "-V"): ReadOnly(operands="text"),
    ("pip", "show"): ReadOnly("f", "files", "text"),
    ("pip", "freeze"): ReadOnly("l", "all local exclude-editable", "none"),
    ("pip", "check"): ReadOnly("", "", "none"),
    ("conda", "list"): ReadOnly("", "json", "text"),
    ("git", "branch"): ReadOnly("avr", "all list remotes show-current verbose", "none"),
    ("git", "remote"): ReadOnly("v", "verbose", "none"),
    ("git", "rev-parse"): ReadOnly("", "short=? abbrev-ref show-toplevel verify is-inside-work-tree git-dir", "text"),
    ("python", "-V"): ReadOnly(operands="none"),
    ("python3", "-V"): ReadOnly(operands="none"),
}
"""Read-only commands that consist of two words."""

SYSTEM_FOLDERS = frozenset({"/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin"})
"""Folders of trusted programs given with a path. /usr/local/bin is included because it is on PATH anyway."""
