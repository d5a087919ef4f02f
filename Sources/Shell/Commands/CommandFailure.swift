internal import ControlClient

/// How `roost` ends.
public enum ExitCode: Int32, Sendable, CaseIterable {
  case ok = 0
  case failed = 1
  case usage = 2
  case notFound = 3
  case forbidden = 4
  case unavailable = 5
  case timeout = 6

  var meaning: String {
    switch self {
    case .ok: "all went well"
    case .failed: "the request was refused, or the code of a cell failed"
    case .usage: "a flag, an argument or a command is wrong"
    case .notFound: "there is no such resource"
    case .forbidden: "no token, a bad token, or a role is missing"
    case .unavailable: "the server or the node can't be reached"
    case .timeout: "no answer in time"
    }
  }
}

/// A reason to stop, with what to print.
struct CommandFailure: Error, Equatable {
  var code: ExitCode
  var message: String
  /// Printed behind the message, one per line.
  var details: [String] = []

  init(_ code: ExitCode, _ message: String, details: [String] = []) {
    self.code = code
    self.message = message
    self.details = details
  }

  static func usage(_ message: String, _ command: Command) -> CommandFailure {
    CommandFailure(
      .usage, message, details: ["usage: \(command.usage)", "help:  roost \(command.name) --help"])
  }

  init(_ error: ClientError) {
    message = error.message
    switch error.kind {
    case .unreachable: code = .unavailable
    case .timeout: code = .timeout
    case .address: code = .usage
    case .malformed: code = .failed
    case .refused(let word): code = Self.code(of: word, isUserCode: error.isUserCode)
    }
    if let field = error.field { details.append("field: \(field)") }
    if let id = error.requestID { details.append("request id: \(id)") }
    switch error.kind {
    case .unreachable:
      details.append("hint: is the server running? start it with: roost serve, or set ROOST_URL")
    case .refused("UNAUTHENTICATED"):
      details.append(
        "hint: set ROOST_TOKEN_FILE to the admin.token in the server's data folder, or ROOST_TOKEN")
    default: break
    }
    if !error.traceback.isEmpty {
      details.append("")
      details += error.traceback.flatMap {
        $0.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      }
      while details.last?.isEmpty == true { details.removeLast() }
    }
  }

  /// The exit code of an error word of the API.
  static func code(of word: String, isUserCode: Bool = false) -> ExitCode {
    switch word {
    case "DEADLINE_EXCEEDED": .timeout
    case _ where isUserCode: .failed
    case "NOT_FOUND": .notFound
    case "UNAUTHENTICATED", "PERMISSION_DENIED": .forbidden
    case "UNAVAILABLE": .unavailable
    default: .failed
    }
  }
}
