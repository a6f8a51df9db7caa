_sealstone() {
    # Words as they were typed: bash breaks them at colons and equals signs too.
    local line=${COMP_LINE:0:COMP_POINT} words=() index=-1 i rest
    for ((i = 0; i <= COMP_CWORD; i++)); do
        rest=${line#"${line%%[![:space:]]*}"}
        if ((i > 0)) && [[ $rest == "$line" ]]; then
            words[index]+=${COMP_WORDS[i]}
        else
            words[++index]=${COMP_WORDS[i]}
        fi
        line=${rest#"${COMP_WORDS[i]}"}
    done
    # Of the last one, what is before the cursor, and of that, what readline leaves as it is.
    local current=${words[index]} kept
    kept=${current%"$2"}
    IFS=$'\013' read -r -d '' -a COMPREPLY < <(
        SEALSTONE_COMPLETE=bash _CLAP_IFS=$'\013' _CLAP_COMPLETE_INDEX=$index _CLAP_COMPLETE_COMP_TYPE=$COMP_TYPE \
            "$1" -- "${words[@]}" 2> /dev/null
    )
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[=/:] ]]; then
        compopt -o nospace 2> /dev/null
    elif [[ -e ${COMPREPLY[0]-} ]]; then
        # Names of files are quoted where they have to be.
        compopt -o filenames 2> /dev/null
    fi
}
complete -o bashdefault -o default -F _sealstone sealstone
