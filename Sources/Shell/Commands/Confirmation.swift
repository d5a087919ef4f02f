/// Asks before what can't be taken back; only where somebody can answer.
enum Confirmation {
  static let flag = Flag("yes", short: "y", .toggle, "don't ask")

  static func ask(_ question: String, _ context: Context) throws(CommandFailure) {
    let around = context.surroundings
    guard !context.parsed.toggle("yes"), around.inputIsTerminal, around.errorIsTerminal else { return }
    around.printError("\(question) [y/N] ")
    guard let answer = around.readLine(), ["y", "yes"].contains(answer.lowercased()) else {
      throw CommandFailure(.failed, "nothing was deleted")
    }
  }
}
