"""The verb completion: scripts that let shells complete what is typed after `datctl`.

Each script carries the grammar of the verbs, and asks `datctl __complete` for what fits.
"""

import json
from typing import Literal

from datctl import output

# The words of a line are split by bash at `:` and `=`, too, which stand in links and options: they
# are put together again, and of each candidate only what comes behind the last of them is given.
_BASH = r"""# Completion of datctl for bash.
_datctl_grammar=@GRAMMAR@
_datctl() {
    local IFS=$'\n' word="" words=() place lines how left cur="${COMP_WORDS[COMP_CWORD]}"
    local line="${COMP_LINE:0:COMP_POINT}"
    # Words as typed: pieces that no blank divides belong together.
    for ((place = 1; place <= COMP_CWORD; place++)); do
        local piece="${COMP_WORDS[place]}"
        if ((place > 1)) && [[ "$line" == *"${COMP_WORDS[place - 1]}$piece"* ]] &&
            [[ "${COMP_WORDS[place - 1]}$piece" == *[:=]* ]] &&
            [[ "${COMP_WORDS[place - 1]}" == *[:=] || "$piece" == [:=]* ]]; then
            words[${#words[@]}-1]+="$piece"
        else
            words+=("$piece")
        fi
    done
    word="${words[${#words[@]}-1]}"
    lines=($(DATCTL_GRAMMAR="$_datctl_grammar" "${COMP_WORDS[0]}" __complete "${words[@]}" \
        2>/dev/null)) || return 0
    how="${lines[0]}"
    COMPREPLY=()
    case "$how" in
    files) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    folders) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return ;;
    esac
    left="${word%"${word##*[:=]}"}"
    [[ "$COMP_WORDBREAKS" == *:* ]] || left=""
    for place in "${lines[@]:1}"; do
        local one="${place%%$'\t'*}"
        [[ "$one" == "$word"* ]] || continue
        COMPREPLY+=("$(printf %q "${one#"$left"}")")
        [[ "$one" == */ || "$one" == *= ]] && compopt -o nospace
    done
}
complete -F _datctl datctl
"""
_ZSH = r"""#compdef datctl
# Completion of datctl for zsh.
_datctl_grammar=@GRAMMAR@
_datctl() {
    local -a lines plain open
    local how one word what
    lines=("${(@f)$(DATCTL_GRAMMAR=$_datctl_grammar $words[1] __complete \
        "${(@Q)words[2,CURRENT]}" 2>/dev/null)}") || return 1
    how=$lines[1]
    case $how in
    files) _files; return ;;
    folders) _files -/; return ;;
    esac
    for one in "${(@)lines[2,-1]}"; do
        word=${one%%$'\t'*} what=${one#*$'\t'}
        if [[ $word == */ ]]; then
            open+=("$word")
        else
            plain+=("${word//:/\\:}${what:+:$what}")
        fi
    done
    (( $#open )) && compadd -S '' -- "${(@)open}"
    (( $#plain )) && _describe -t words datctl plain
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _datctl "$@"
else
    compdef _datctl datctl
fi
"""
_FISH = r"""# Completion of datctl for fish.
set -g _datctl_grammar @GRAMMAR@
function _datctl
    set -l words (commandline -opc) (commandline -ct)
    set -lx DATCTL_GRAMMAR $_datctl_grammar
    set -l lines ($words[1] __complete $words[2..-1] 2>/dev/null)
    or return
    switch $lines[1]
        case files
            __fish_complete_path (commandline -ct)
        case folders
            __fish_complete_directories (commandline -ct)
        case words
            printf '%s\n' $lines[2..-1]
    end
end
complete -c datctl -f -a '(_datctl)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print a script that completes what is typed when Tab is pressed.

    Verbs, options and their values are completed, and what the daemon knows: names and keys of
    archives, the files in them behind `NAME/`, tags, jobs and names of versions. Without a daemon
    these are left out. Make the script anew after an update of datd.

    **Examples**

    - `datctl completion bash > ~/.local/share/bash-completion/completions/datctl`
    - `datctl completion zsh > ~/.zfunc/_datctl` (a folder in `$fpath`)
    - `datctl completion fish > ~/.config/fish/completions/datctl.fish`
    """
    from datctl.cli import app  # the grammar is that of all verbs, this one included
    from datctl.grammar import grammar_of

    # In single quotes each shell leaves everything else as it is.
    text = json.dumps(grammar_of(app, app.meta), separators=(",", ":"))
    quoted = "'" + text.replace("'", r"\u0027") + "'"
    if shell == "fish":
        quoted = "'" + text.replace("'", r"\u0027").replace("\\", "\\\\") + "'"
    output.say(_SCRIPTS[shell].replace("@GRAMMAR@", quoted).rstrip("\n"))
