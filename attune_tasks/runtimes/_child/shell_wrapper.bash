# Runs one shell action. Sourced by `bash -c '. "$1"' SCRIPT THIS_FILE LENGTH`: $0 is the script, LENGTH the number of
# bytes of the secrets' line. bash itself takes the line apart: no other interpreter, no temporary file, and no data is
# ever evaluated. How the line is written is in docs/wire-protocol.md.

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    printf 'attune_tasks: shell actions need bash 4.4 or newer, this is %s\n' "$BASH_VERSION" >&2
    exit 126
fi

# get_secret NAME prints the value, with no newline added; get_secret -v VAR NAME sets a variable, without a subshell.
# A name that the action does not declare gives the empty text, and status 0. A subscript that is not made of a name's
# characters is never looked up: bash takes `@` and `*` for all values. No variable of
# ours can hide the caller's, and no function of the caller's named printf gets to see a value.
get_secret() {
    if [[ $- == *x* ]]; then
        { local - && set +x; } 2>/dev/null # a trace would show the value
    fi
    if [[ $#${1-} == 3-v && $2 == [A-Za-z_]* && $2 != *[!A-Za-z0-9_]* ]]; then
        builtin printf -v "$2" %s 0
        if [[ ${!2@a} == *[ilu]* ]]; then
            # declare -i would evaluate the value, -l and -u change it.
            builtin printf 'get_secret: %s is not a plain variable\n' "$2" >&2
            return 2
        fi
        if [[ -z $3 || $3 == *[!A-Za-z0-9_.-]* ]]; then
            builtin printf -v "$2" %s ''
        else
            builtin printf -v "$2" %s "${ATTUNE_SECRETS[$3]-}"
        fi
    elif (($# != 1)) || [[ $1 == -v ]]; then
        builtin printf 'get_secret: usage: get_secret NAME, or get_secret -v VAR NAME\n' >&2
        return 2
    elif [[ -n $1 && $1 != *[!A-Za-z0-9_.-]* ]]; then
        builtin printf %s "${ATTUNE_SECRETS[$1]-}"
    fi
}

# set_result JSON: what the execution gives as its result.
set_result() {
    if [[ $# -ne 1 ]]; then
        builtin printf 'set_result: usage: set_result JSON\n' >&2
        return 2
    fi
    builtin printf '{"type":"result","value":%s}\n' "${1//$'\n'/ }" >&200
}

# set_progress PERCENT [MESSAGE]: how far the action is, 0 to 100, and what it does; whoever follows it sees that.
set_progress() {
    if [[ $# -lt 1 || $# -gt 2 || $1 != [0-9]* || $1 == *[!0-9.]* || $1 == *.*.* ]]; then
        builtin printf 'set_progress: usage: set_progress PERCENT [MESSAGE], the percent from 0 to 100\n' >&2
        return 2
    fi
    set -- "${1#"${1%%[!0]*}"}" "${2-}" # JSON has no zeros in front
    set -- "${1%.}" "${2//[[:cntrl:]]/ }"
    [[ $1 == [1-9]* ]] || set -- "0$1" "$2"
    set -- "$1" "${2//'\'/'\\'}"
    # A script that has closed the channel goes on without.
    { builtin printf '{"type":"progress","percent":%s,"message":"%s"}\n' "$1" "${2//'"'/'\"'}" >&200; } 2>/dev/null || :
}

# mask VALUE, or mask -v VAR: has the value masked wherever it is said from now on. In a file of its own, for reading
# its text would cost each action a tenth of a millisecond.
mask() {
    . "${BASH_SOURCE[0]%/*}/shell_mask.bash"
}

unset ATTUNE_CONTROL_FD # it is 200, where no script wants its own: `exec 3>&1`, `exec 10>lock`

# The line is {"name":"value","name":"value"}: split at the quotes, names stand at 1, 5, 9 …, values at 3, 7, 11 …
# No quote is within a name or a value: the writer escapes it, like backslash and control characters, as \u00XX.
# bash was started with LC_ALL=C, so the line is bytes to it. No function does this: to define and call one takes time.
declare -A ATTUNE_SECRETS=()
set -f
IFS='"'
# Started ahead of its execution, it waits here. A line of the same form, which is read in blocks of 512 bytes, brings
# the variables that it could not have: the execution's id and its parameters.
if [[ -v ATTUNE_STANDBY ]]; then
    unset ATTUNE_STANDBY
    IFS= read -r -N 512 _attune_line || exit 0 # nobody needs it
    while [[ $_attune_line != *$'\n' ]]; do
        IFS= read -r -N 512 _attune_block || exit 0
        _attune_line+=$_attune_block
    done
    _attune_parts=($_attune_line)
    for ((_attune_i = 3; _attune_i < ${#_attune_parts[@]}; _attune_i += 4)); do
        _attune_line=${_attune_parts[_attune_i]}
        if [[ $_attune_line == *\\* ]]; then
            printf -v _attune_line %b "$_attune_line"
        fi
        export "${_attune_parts[_attune_i - 2]}=$_attune_line"
    done
    _attune_parts=() # none of them is a secret, where there is no secret either
    SECONDS=0
fi
IFS= read -r -N "$2" _attune_line || {
    printf 'attune_tasks: the secrets'\'' line ended too early\n' >&2
    exit 126
}
[[ $_attune_line == '{}'* ]] || _attune_parts=($_attune_line)
for ((_attune_i = 3; _attune_i < ${#_attune_parts[@]}; _attune_i += 4)); do
    if [[ ${_attune_parts[_attune_i]} == *\\* ]]; then
        printf -v _attune_line %b "${_attune_parts[_attune_i]}"
        ATTUNE_SECRETS[${_attune_parts[_attune_i - 2]}]=$_attune_line
    else
        ATTUNE_SECRETS[${_attune_parts[_attune_i - 2]}]=${_attune_parts[_attune_i]}
    fi
done
unset IFS _attune_line _attune_block _attune_parts _attune_i
set +f

# Now it gets the locale of its environment.
if [[ -v ATTUNE_LC_ALL ]]; then
    LC_ALL=$ATTUNE_LC_ALL
    unset ATTUNE_LC_ALL
else
    unset LC_ALL
fi

set --
set -e
if [[ -v ATTUNE_PARAMS_FD ]]; then
    unset ATTUNE_PARAMS_FD
    . /dev/fd/201 # its first command closes that descriptor
else
    . "$0"
fi
