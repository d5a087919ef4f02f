/// `roost completion`
enum CompletionShow {
  static let command: Command = Command(
    "completion", "completion for a shell", purpose: "Prints a script that completes nouns, verbs and flags.",
    arguments: [Positional("SHELL", "bash, zsh or fish")],
    examples: [
      "source <(roost completion bash)", "roost completion zsh > ~/.zfunc/_roost",
      "roost completion fish > ~/.config/fish/completions/roost.fish",
    ],
    run: { context in
      guard let script = scripts.first(where: { $0.shell == context.first }) else {
        throw CommandFailure.usage(
          "SHELL: '\(context.first)' is not one of bash, zsh, fish", CompletionShow.command)
      }
      context.print(script.text)
    })

  static let scripts: [(shell: String, text: String)] = [
    (
      "bash",
      """
      _roost() {
        local IFS=$'\\n'
        COMPREPLY=($(roost __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
      }
      complete -o default -F _roost roost
      """
    ),
    (
      "zsh",
      """
      #compdef roost
      _roost() {
        local -a candidates
        candidates=("${(@f)$(roost __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
        if [[ -n "${candidates[1]}" ]]; then compadd -a candidates; else _files; fi
      }
      if [[ "$funcstack[1]" == _roost ]]; then _roost "$@"; else compdef _roost roost; fi
      """
    ),
    (
      "fish",
      """
      function __roost_complete
        set -l words (commandline -opc) (commandline -ct)
        roost __complete -- $words[2..-1] 2>/dev/null
      end
      complete -c roost -f -a '(__roost_complete)'
      """
    ),
  ]
}
