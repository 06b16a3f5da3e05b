"""What is in Debian's slim image of Python, which the project's images begin with, beside Python and its packages."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORDS = _words(
    ". : [ alias bg bind break builtin caller cd command compgen complete compopt continue coproc declare dirs disown "
    "echo enable eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile popd "
    "printf pushd pwd read readarray readonly return set shift shopt source suspend test times trap true type typeset "
    "ulimit umask unalias unset wait"
)
"""Words that a shell carries out itself."""
PROGRAMS = _words(
    "[ apt apt-cache apt-get arch awk b2sum base32 base64 basename basenc bash cat chage chgrp chmod chown chroot chrt "
    "cksum clear cmp comm cp csplit cut dash date dd df diff diff3 dir dircolors dirname dmesg dnsdomainname "
    "domainname dpkg dpkg-query du echo egrep env expand expiry expr factor fallocate false fgrep fincore find findmnt "
    "flock fmt fold getconf getent getopt groups grep gunzip gzip head hostid hostname iconv id infocmp install "
    "ionice ipcmk ipcrm ipcs join killall5 last ldconfig ldd link linux32 linux64 ln locale localedef logger login "
    "logname losetup ls lsblk lscpu lsfd lsipc lsirq lslocks lslogins lsmem lsns mawk mcookie md5sum mesg mkdir "
    "mkfifo mknod mktemp more mount mountpoint mv namei nawk newgrp nice nisdomainname nl nohup nproc nsenter "
    "numfmt od openssl partx passwd paste pathchk perl pidof pinky pr printenv printf prlimit ptx pwd rbash "
    "readlink readprofile realpath rename.ul renice reset rev rgrep rm rmdir run-parts runcon runuser savelog script "
    "scriptlive scriptreplay sdiff sed seq setarch setpriv setsid sh sha1sum sha224sum sha256sum sha384sum sha512sum "
    "shred shuf sleep sort split stat stdbuf stty su sum sync tabs tac tail tar taskset tee tempfile test tic timeout "
    "touch tput tr true truncate tset tsort tty tzselect umount uname uncompress unexpand uniq unlink unshare "
    "update-alternatives update-ca-certificates users utmpdump vdir wall wc whereis which who whoami xargs yes "
    "ypdomainname zcat zcmp zdiff zdump zegrep zfgrep zforce zgrep zless zmore znew"
)
"""Of Debian's essential packages and those that Python's image adds: no ps, curl, git or jq."""
PYTHON = _words("python python3 python3.11 pip pip3 pip3.11 pydoc pydoc3 idle3 2to3")
BIN, OWN_BIN = ("/bin", "/sbin", "/usr/bin", "/usr/sbin"), "/usr/local/bin"
"""Where Debian's programs are, and those of Python and its packages."""
LIBRARY = "/usr/local/lib/python3.11"
FOLDERS = frozenset((*BIN, OWN_BIN, LIBRARY, f"{LIBRARY}/site-packages", "/dev/shm", "/")) | _words(
    "/etc /home /home/ray /lib /lib64 /media /mnt /opt /root /run /srv /tmp /usr /usr/lib /usr/local /usr/local/lib "
    "/usr/local/share /usr/share /usr/src /var /var/cache /var/lib /var/log /var/run /var/tmp"
)
EMPTY = ("/opt", "/srv", "/mnt", "/media", "/data", "/app", "/workspace")
"""Folders with nothing in them, or that are not there: images and volumes alone put something into them."""
FILES = _words(
    "/etc/passwd /etc/group /etc/hosts /etc/hostname /etc/resolv.conf /etc/nsswitch.conf /etc/os-release "
    "/etc/debian_version /etc/localtime /etc/timezone /etc/profile /etc/bash.bashrc /etc/ssl /etc/ca-certificates "
    "/usr/lib/ssl /usr/share/ca-certificates /usr/share/zoneinfo /lib/x86_64-linux-gnu /lib/aarch64-linux-gnu "
    "/usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /proc /sys /dev /run/secrets /var/run/secrets"
)
"""Files that are there, and folders whose content is Debian's, the kernel's or the cluster's."""
