# Sourced by scripts/demo and scripts/test: makes .venv and installs gen5astro into it, once.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$root/.venv"
python="$venv/bin/python"

stop() {
    printf '%s\n' "$1" >&2
    exit 2
}

# Prints the first interpreter that is new enough; the tested one comes first.
find_python() {
    local name
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
    stop "Python 3.11 or newer is needed and was not found: install it (Debian: apt install python3.11-venv python3.11-dev), or set PYTHON to its path."
}

make_venv() {
    local base
    base=$(find_python)
    "$base" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        stop "$base cannot make virtual environments: install its venv module (Debian: apt install python3-venv)."
    printf 'Making %s with %s.\n' "$venv" "$("$base" --version)" >&2
    "$base" -m venv --clear "$venv"
}

require_compiler() {
    local name
    for name in ${CC:-cc gcc clang}; do
        if command -v "$name" >/dev/null 2>&1; then
            export CC=$name
            return
        fi
    done
    stop "A C compiler is needed and was not found: install one (Debian: apt install gcc; macOS: xcode-select --install), or set CC to its path."
}

require_headers() {
    "$python" -c 'import pathlib, sysconfig, sys; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file())' ||
        stop "Python.h is needed to build the C extension and was not found: install it (Debian: apt install python3-dev)."
}

# Changes whenever an installation would: what is required, the C sources, where this tree lies.
fingerprint() {
    (
        cd "$root"
        printf '%s\n' "$root"
        cat setup.cfg setup.py pyproject.toml requirements/constraints.txt ext/*.[ch]
    ) | cksum
}

# install_once [EXTRA]: makes the environment fit this tree; does nothing where it already does.
install_once() {
    local extra=${1:-} stamp now
    stamp="$venv/.gen5astro-installed"
    now=$(fingerprint)
    if [ -f "$stamp" ] && "$python" -c '' 2>/dev/null; then
        if grep -qxF "$now [$extra]" "$stamp" || { [ -z "$extra" ] && grep -qF "$now [" "$stamp"; }; then
            return
        fi
    fi
    require_compiler
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        make_venv
    fi
    require_headers
    printf 'Installing gen5astro%s into %s; this takes a minute or two.\n' "${extra:+[$extra]}" "$venv" >&2
    rm -f "$stamp"
    "$python" -m pip install -qq --disable-pip-version-check \
        --constraint "$root/requirements/constraints.txt" --editable "$root${extra:+[$extra]}"
    printf '%s [%s]\n' "$now" "$extra" >"$stamp"
}
