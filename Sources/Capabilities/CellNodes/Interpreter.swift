import Sandboxing
import Synchronization

/// What a Python says of itself.
struct Interpreter: Sendable {
  /// The real program, where the given one is a script that finds it (pyenv's shims).
  var executable: String
  /// Folders it needs besides the system's.
  var prefixes: [String]
}

/// Interpreters, each asked once.
final class InterpreterBook: Sendable {
  private let known = Mutex<[String: Interpreter]>([:])

  func interpreter(_ python: String) throws(SystemFailure) -> Interpreter {
    if let interpreter = known.withLock({ $0[python] }) { return interpreter }
    let code = "import sys\nfor x in (sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix): print(x)"
    let output = try CommandOutput.run(
      python, ["-I", "-c", code], environment: SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]))
    let lines = output.text.split(separator: "\n").map(String.init)
    guard output.succeeded, lines.count == 4 else {
      throw SystemFailure("ask \(python) for its folders (\(output.text.prefix(200)))", code: 8)
    }
    let interpreter = Interpreter(executable: lines[0], prefixes: Set(lines[1...]).sorted())
    known.withLock { $0[python] = interpreter }
    return interpreter
  }
}
