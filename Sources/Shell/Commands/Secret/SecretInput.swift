internal import FoundationEssentials
internal import Glibc

/// Where the value of a secret comes from: a file, standard input, or an answer that isn't shown. Never the command line,
/// which others can see and shells remember.
enum SecretInput {
  static let fromFile = Flag(
    "from-file", .text, value: "FILE",
    "the value is the content of this file, byte for byte (standard input, or asked for)")

  static let refusal =
    "a value must not stand on the command line, where others can see it and the shell remembers it; give it on standard input, or with --from-file FILE"

  /// The value in one of the two members that carry it.
  struct Value {
    var text: String?
    var base64: String?
  }

  static func read(_ context: Context, for name: String) throws(CommandFailure) -> Value {
    let bytes = try bytes(context, name)
    guard !bytes.isEmpty else { throw CommandFailure(.failed, "the value is empty; nothing was changed") }
    // Text may hold any character but this one.
    if let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) { return Value(text: text) }
    return Value(base64: Data(bytes).base64EncodedString())
  }

  private static func bytes(_ context: Context, _ name: String) throws(CommandFailure) -> [UInt8] {
    let around = context.surroundings
    if let path = context.parsed.text("from-file"), path != "-" { return try LocalFile.read(path) }
    guard around.inputIsTerminal, context.parsed.text("from-file") == nil else {
      // One that `echo` adds is not meant.
      var bytes = around.readAll()
      if context.parsed.text("from-file") == nil, bytes.last == 0x0a {
        bytes.removeLast()
        if bytes.last == 0x0d { bytes.removeLast() }
      }
      return bytes
    }
    guard let first = around.readHidden("value of \(name): "), let second = around.readHidden("once more: ")
    else { throw CommandFailure(.failed, "no value was given; nothing was changed") }
    guard first == second else {
      throw CommandFailure(.failed, "the two answers differ; nothing was changed")
    }
    return Array(first.utf8)
  }

  /// Asks on the terminal without showing what is typed; nil at the end of the input. It is silent before the question is
  /// seen, so that nothing typed at once is shown or lost.
  static func readHidden(_ question: String) -> String? {
    func say(_ text: String) {
      let bytes = Array(text.utf8)
      _ = write(2, bytes, bytes.count)
    }
    var settings = termios()
    let isTerminal = tcgetattr(0, &settings) == 0
    var former = settings
    settings.c_lflag &= ~tcflag_t(ECHO)
    if isTerminal { tcsetattr(0, TCSADRAIN, &settings) }
    say(question)
    let answer = Swift.readLine()
    if isTerminal { tcsetattr(0, TCSADRAIN, &former) }
    say("\n")
    return answer
  }
}
