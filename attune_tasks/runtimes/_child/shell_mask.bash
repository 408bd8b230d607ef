# What `mask` of a shell action does; it is sourced by that function, and has its arguments. A trace (`set -x`) shows the
# call itself before anything is done: there, `mask -v VAR` names a variable and shows no value.

if [[ $- == *x* ]]; then
    { local - && set +x; } 2>/dev/null # a trace would show the value
fi
if [[ $#${1-} == 2-v && $2 == [A-Za-z_]* && $2 != *[!A-Za-z0-9_]* ]]; then
    set -- "${!2-}"
elif (($# != 1)) || [[ $1 == -v ]]; then
    builtin printf 'mask: usage: mask VALUE, or mask -v VAR\n' >&2
    return 2
fi
local LC_ALL=C # byte by byte
if ((${#1} > 65536)); then
    builtin printf 'mask: a value has at most 65536 bytes, and this one %d\n' "${#1}" >&2
    return 2
fi
set -- "${1//'\'/'\\'}"
set -- "${1//'"'/'\"'}"
if [[ $1 == *[[:cntrl:]]* ]]; then
    local -i code
    local escape control
    for ((code = 1; code < 32; code++)); do
        builtin printf -v escape '\\u%04x' "$code"
        builtin printf -v control %b "\\x${escape:4}"
        set -- "${1//"$control"/"$escape"}"
    done
fi
{ builtin printf '{"type":"mask","value":"%s"}\n' "$1" >&200; } 2>/dev/null || {
    builtin printf 'mask: the action has closed descriptor 200\n' >&2
    return 1
}
