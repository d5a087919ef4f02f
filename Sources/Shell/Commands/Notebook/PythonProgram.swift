internal import Glibc

/// The Python side of Roost: finds its interpreter and becomes it.
struct PythonProgram {
  let python: String
  private let packageFolder: String?
  private let context: Context

  init(_ context: Context) throws(CommandFailure) {
    self.context = context
    let environment = context.surroundings.environment
    let tops = Self.folders(environment).map { $0 + "/.." }
    if let asked = context.parsed.text("python") ?? environment["ROOST_PYTHON"] {
      python = asked
    } else {
      let candidates = (tops + ["."]).map { $0 + "/.venv/bin/python" }
      python = candidates.first(where: LocalFile.isExecutable) ?? "python3"
    }
    packageFolder = tops.map { $0 + "/python/src" }.first { LocalFile.exists($0 + "/roost/__init__.py") }
  }

  /// Folders that may hold `bin/roost`: where it was called from, then the ones above the real file.
  private static func folders(_ environment: [String: String]) -> [String] {
    var result: [String] = []
    if let called = CommandLine.arguments.first {
      if let slash = called.lastIndex(of: "/") {
        result.append(slash == called.startIndex ? "/" : String(called[..<slash]))
      } else {
        let places = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
        result += places.filter { LocalFile.isExecutable("\($0)/\(called)") }.prefix(1)
      }
    }
    var real = LocalFile.resolved("/proc/self/exe") ?? ""
    while let slash = real.lastIndex(of: "/"), slash != real.startIndex, result.count < 7 {
      real = String(real[..<slash])
      result.append(real)
    }
    return result
  }

  /// Replaces this process; returns only by throwing.
  func become(_ arguments: [String]) throws(CommandFailure) {
    let environment = context.surroundings.environment
    let target = try context.target()
    setenv("ROOST_URL", target.url, 1)
    if let file = target.tokenFile {
      setenv("ROOST_TOKEN_FILE", file, 1)
      unsetenv("ROOST_TOKEN")
    }
    if let folder = packageFolder.flatMap(LocalFile.resolved) {
      let old = environment["PYTHONPATH"] ?? ""
      setenv("PYTHONPATH", old.isEmpty ? folder : folder + ":" + old, 1)
    }
    var words: [UnsafeMutablePointer<CChar>?] = ([python] + arguments).map { strdup($0) }
    words.append(nil)
    execvp(python, words)
    let reason = String(cString: strerror(errno))
    for word in words { free(word) }
    throw CommandFailure(
      .failed, "can't run \(python): \(reason)",
      details: ["hint: give a Python with --python, or set ROOST_PYTHON"])
  }
}
