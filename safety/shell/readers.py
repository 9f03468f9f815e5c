"""The table of programs that only read, with the options each may be given. What is not here is asked about."""

from ml_intern.safety.shell.options import Reader
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
    check_test,
)
from ml_intern.text.word_table import words

_SUMS = Reader("btz", "binary text tag zero", lists_names=True)
_GREP = Reader(
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
_AWK = Reader("F:v:", "", "pattern", check=check_awk)
_VERSION_ONLY = Reader("", "version", "none", needs_option=True)

READERS: dict[str, Reader] = {
    # names and sizes
    "ls": Reader(
        "aAbBcCdDfFgGhHiklLmnNopqQrRsStuUvxXZ1I:T:w:",
        "all almost-all author escape block-size= ignore-backups color=? directory classify=? file-type format= "
        "full-time "
        "group-directories-first no-group human-readable si indicator-style= inode ignore= hide= dereference "
        "numeric-uid-gid "
        "literal quote-name quoting-style= reverse recursive size sort= time= time-style= width= zero",
        lists_names=True,
    ),
    "stat": Reader("Lftc:", "dereference file-system format= printf= terse", lists_names=True),
    "file": Reader("bihkLNnprv0F:", "brief mime mime-type mime-encoding keep-going dereference no-buffer version"),
    "du": Reader(
        "abcDhHklmPsSx0d:t:B:",
        "all apparent-size bytes total human-readable si summarize separate-dirs max-depth= threshold= time=? "
        "time-style= "
        "exclude= exclude-from=@ block-size= one-file-system inodes",
        lists_names=True,
    ),
    "df": Reader("ahHiklPTt:x:B:", "all human-readable si inodes local output=? portability total type= exclude-type= "
    "print-type", "text"),
    "tree": Reader(
        "adfipshDFrtugcASnNCxqvJXL:P:I:",
        "dirsfirst filesfirst noreport charset= filelimit= gitignore prune du si inodes device matchdirs ignore-case "
        "sort=",
        lists_names=True,
    ),
    "find": Reader(raw=True, lists_names=True, check=check_find),
    "fd": Reader("HIsigFap0e:t:d:E:c:S:", "hidden no-ignore glob fixed-strings absolute-path full-path extension= "
    "type= max-depth= exclude= color= size=", "pattern"),
    "realpath": Reader("ePmLqsz", "canonicalize-existing canonicalize-missing logical physical quiet strip "
    "no-symlinks relative-to=@ relative-base=@", lists_names=True),
    "readlink": Reader("femnqsvz", "canonicalize canonicalize-existing canonicalize-missing no-newline "
    "quiet", lists_names=True),
    "pwd": Reader("LP", "", "none"),
    "basename": Reader("azs:", "multiple suffix= zero", "text"),
    "dirname": Reader("z", "zero", "text"),
    "test": Reader(operands="text", raw=True, check=check_test),
    # contents
    "cat": Reader("AbeEnstTuv", "show-all number-nonblank show-ends number squeeze-blank show-tabs show-nonprinting"),
    "tac": Reader("brs:", "before regex separator="),
    "head": Reader("qvzn:c:", "lines= bytes= quiet silent verbose zero-terminated", number=True),
    "tail": Reader("qvzn:c:", "lines= bytes= quiet silent verbose zero-terminated", number=True),
    "nl": Reader("pb:d:f:h:i:l:n:s:v:w:", "body-numbering= number-width= number-format= line-increment= "
    "starting-line-number="),
    "wc": Reader("clLmw", "bytes chars lines words max-line-length total="),
    "grep": _GREP,
    "egrep": _GREP,
    "fgrep": _GREP,
    "rg": Reader(
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
    "sort": Reader(
        "bdfghiMnRrsuVzcCmk:t:",
        "ignore-leading-blanks dictionary-order ignore-case general-numeric-sort human-numeric-sort month-sort "
        "numeric-sort "
        "random-sort reverse stable unique version-sort zero-terminated check=? merge key= field-separator= sort=",
    ),
    "uniq": Reader("cdDuizf:s:w:", "count repeated unique ignore-case skip-fields= skip-chars= check-chars= "
    "group=?", most=1),
    "cut": Reader("nszb:c:d:f:", "bytes= characters= delimiter= fields= only-delimited complement output-delimiter= "
    "zero-terminated"),
    "tr": Reader("cCdst", "complement delete squeeze-repeats truncate-set1", "text", most=2),
    "rev": Reader(),
    "fold": Reader("bsw:", "bytes spaces width="),
    "fmt": Reader("cstuw:p:g:", "width= split-only uniform-spacing", number=True),
    "paste": Reader("szd:", "serial delimiters= zero-terminated"),
    "join": Reader("ia:e:j:o:t:v:1:2:", "ignore-case check-order nocheck-order header zero-terminated"),
    "comm": Reader("123iz", "check-order nocheck-order output-delimiter= total zero-terminated"),
    "column": Reader("txneJs:o:c:N:R:", "table separator= output-separator= columns= table-columns= json"),
    "expand": Reader("it:", "initial tabs="),
    "unexpand": Reader("at:", "all first-only tabs="),
    "diff": Reader(
        "uqyabBceinpstTwEZdHU:C:W:x:I:F:",
        "unified=? context=? brief report-identical-files side-by-side ignore-case ignore-all-space "
        "ignore-space-change ignore-blank-lines ignore-trailing-space text color=? exclude= width= "
        "suppress-common-lines "
        "strip-trailing-cr minimal label= show-c-function no-dereference",
    ),
    "cmp": Reader("bli:n:s", "print-bytes verbose silent quiet bytes= ignore-initial="),
    "strings": Reader("afwn:t:e:s:", "all bytes= radix= encoding= print-file-name"),
    "od": Reader("abcdfilosxvA:j:N:t:w:", "address-radix= skip-bytes= read-bytes= format= width=? output-duplicates"),
    "hexdump": Reader("bcCdovxn:s:e:", "canonical length= skip="),
    "xxd": Reader("beipuc:g:l:s:", "", most=1),
    "base64": Reader("diDw:", "decode ignore-garbage wrap=", most=1),
    "base32": Reader("diw:", "decode ignore-garbage wrap=", most=1),
    "zcat": Reader(),
    "jq": Reader("rcnseSMCaj", "raw-output compact-output null-input slurp exit-status sort-keys tab indent= "
    "monochrome-output join-output ascii-output", "pattern", check=check_jq),
    "sed": Reader("nErsuz", "quiet silent regexp-extended separate unbuffered null-data posix", "pattern",
    check=check_sed),
    "awk": _AWK,
    "gawk": _AWK,
    "mawk": _AWK,
    "unzip": Reader("lZv", "", most=1, needs_option=True),
    **dict.fromkeys(words("md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum sum"), _SUMS),
    # texts and numbers
    "echo": Reader(operands="text", raw=True),
    "printf": Reader(operands="text", raw=True, check=check_printf),
    "true": Reader(operands="text", raw=True),
    "false": Reader(operands="text", raw=True),
    ":": Reader(operands="text", raw=True),
    "seq": Reader("ws:f:", "equal-width separator= format=", "text", most=3, check=check_seq),
    "expr": Reader(operands="text", raw=True),
    "numfmt": Reader("d:", "from= to= suffix= padding= field= delimiter= round= header=? invalid=", "text"),
    "sleep": Reader(operands="text", most=1, check=check_sleep),
    # the machine
    "date": Reader("uRd:r@", "utc universal iso-8601=? rfc-3339= rfc-email date= reference=@", "text", most=1,
    check=check_date),
    "uname": Reader("asnrvmpio", "all kernel-name nodename kernel-release kernel-version machine processor "
    "operating-system", "none"),
    "hostname": Reader("fsiIdA", "fqdn long short ip-address all-ip-addresses domain all-fqdns", "none"),
    "arch": Reader(operands="none"),
    "nproc": Reader("", "all ignore=", "none"),
    "whoami": Reader(operands="none"),
    "id": Reader("ugGnrz", "user group groups name real zero", "text"),
    "groups": Reader(operands="text"),
    "uptime": Reader("ps", "pretty since", "none"),
    "free": Reader("bkmghwtlv", "bytes kilo mega giga tera human wide total lohi si", "none"),
    "lscpu": Reader("abceJpxy", "all online offline json extended=? parse=? caches=?", "none"),
    "lsblk": Reader("abdfilmnoprstJo:", "all bytes nodeps fs json list output= paths", "none"),
    "getconf": Reader("a", "", "text"),
    "locale": Reader("amck", "all-locales charmaps category-name keyword-name", "text"),
    "tty": Reader("s", "silent quiet", "none"),
    "ps": Reader("eAafFljwHLTu:p:o:C:U:g:", "sort= no-headers forest pid= format= cols= width= user= "
    "ppid=", "text", check=check_ps),
    "nvidia-smi": Reader("Lqxi:d:", "list-gpus query query-gpu= query-compute-apps= format= id= display= xml-format "
    "help-query-gpu", "none"),
    "which": Reader("as", "all", "text"),
    "type": Reader("aftpP", "", "text"),
    **dict.fromkeys(
        words("python python3 pip pip3 uv git gcc g++ clang cmake node npm nvcc conda docker ruff mypy java hf bash "
            "curl wget"),
        _VERSION_ONLY,
    ),
}  # fmt: skip

SUBCOMMANDS: dict[tuple[str, str], Reader] = {
    ("command", "-v"): Reader(operands="text"),
    ("command", "-V"): Reader(operands="text"),
    ("pip", "show"): Reader("f", "files", "text"),
    ("pip", "freeze"): Reader("l", "all local exclude-editable", "none"),
    ("pip", "check"): Reader("", "", "none"),
    ("python", "-V"): Reader(operands="none"),
    ("python3", "-V"): Reader(operands="none"),
}
"""Two words that only read together."""

SYSTEM_FOLDERS = frozenset({"/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin"})
"""Where a program named with its folder may lie. /usr/local/bin is the administrator's, as PATH has it anyway."""
