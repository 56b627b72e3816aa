# Sourced from the repository root by run-tests, quickstart and .ci/run.

# install EXTRAS: .venv holds snncc (editable) with these extras, pinned. Does nothing when it
# already does, so every command may call it.
install() {
  local extras=$1 stamp=.venv/.snncc-$1 wanted python
  wanted=$(cat pyproject.toml constraints.txt - <<<"$PWD" | cksum)
  [[ -x .venv/bin/python && $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return

  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "making .venv with $python" >&2
    "$python" -m venv --clear .venv
  fi
  echo "installing snncc[$extras] in .venv" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".[$extras]"
  echo "$wanted" >"$stamp"
}

# find_python: prints the first Python >= 3.11 that runs and can make virtual environments.
find_python() {
  local candidate candidates=(python3 python3.{11..14} python)
  [[ -n ${PYTHON:-} ]] && candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
      >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  echo "no Python >= 3.11 with the venv module among: ${candidates[*]}; name one, PYTHON=..." >&2
  return 1
}
