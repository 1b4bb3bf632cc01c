#!/bin/sh
# Unpacks and builds the servers that come from Debian and Go into build/servers. Installs nothing.
# What cannot be had here is said and skipped: its tests are then skipped, too.
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD/build/servers
mkdir -p "$root"

missing() { echo "NO $1, and it cannot be had here: $2; its tests are skipped" >&2; }

# What is already installed of these is unpacked as well, so that no server is half here and half there.
OURS='^Package: (ruby|libruby|rubygems|rake|racc|puma|erlang|rabbitmq)'

# lists PACKAGE...: they and all that they need and that this machine lacks
lists() {
    awk -v ours="$OURS" 'BEGIN { RS = ""; ORS = "\n\n" } $0 !~ ours' /var/lib/dpkg/status >status
    apt-get -o Dir::State::status="$PWD/status" -s install --no-install-recommends "$@" 2>apt.log |
        awk '$1 == "Inst" { print $2 }' >names
    [ -s names ]
}

# As root, apt would first switch to a user who cannot write here, and print a warning.
download() {
    # shellcheck disable=SC2046 # one word each
    lists "$@" && apt-get -o APT::Sandbox::User=root -qq download $(cat names) 2>apt.log
}

# unpack NAME PACKAGE...: into build/servers/NAME
unpack() {
    name=$1
    shift
    [ -d "$root/$name" ] && return
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { missing "$name" "this is no Debian"; return; }
    rm -rf "$root/$name.part" && mkdir -p "$root/$name.part" && cd "$root/$name.part" || return
    if download "$@" || { rm -f -- *.deb; apt-get update -qq 2>/dev/null; download "$@"; }; then
        for package in *.deb; do dpkg-deb --extract "$package" . || exit 1; done
        rm -f -- *.deb status names apt.log
        # Debian's erl believes that it is in /usr.
        erl=usr/lib/erlang/bin/erl
        # shellcheck disable=SC2016 # for erl, not for us
        [ ! -f $erl ] || sed -i 's|ROOTDIR=/usr/lib/erlang|ROOTDIR=$(cd "$progdir/.." \&\& pwd)|' $erl
        mv "$root/$name.part" "$root/$name"
    else
        missing "$name" "apt-get: $(tail -n 1 apt.log)"
        rm -rf "$root/$name.part"
    fi
}

(unpack action_cable ruby-actioncable ruby-railties ruby-minitest puma) || missing action_cable "a package is broken"
(unpack rabbitmq rabbitmq-server) || missing rabbitmq "a package is broken"

centrifugo=github.com/centrifugal/centrifugo/v6
version=6.9.1
if [ ! -x "$root/go/centrifugo" ]; then
    if ! command -v go >/dev/null; then
        missing centrifugo "there is no go on the path"
    else
        # Without the flag it would not know its version.
        GOBIN=$root/go go install -ldflags "-X $centrifugo/internal/build.Version=$version" \
            $centrifugo@v$version >"$root/centrifugo.log" 2>&1 ||
            missing centrifugo "go install: $(tail -n 1 "$root/centrifugo.log")"
    fi
fi
exit 0
