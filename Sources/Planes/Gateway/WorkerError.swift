internal import Domain
internal import Wire

extension Refusal {
  /// What a caller is told about an `error` frame (`docs/formats/worker-protocol.md`).
  init(workerError bytes: [UInt8]) {
    guard let error = try? JSONValue(parsing: bytes) else {
      self.init(.internal, "the worker answered with an error that can't be read", origin: .platform)
      return
    }
    let name = error["errorName"]?.stringValue ?? "Exception"
    let message = error["errorMessage"]?.stringValue ?? ""
    let text = message.isEmpty ? name : "\(name): \(message)"
    let traceback = error["traceback"]?.arrayValue?.compactMap(\.stringValue) ?? []
    let variable = error["variable"]?.stringValue.map { "input.\($0): " } ?? ""
    switch error["kind"]?.stringValue {
    case "input": self.init(.invalidArgument, variable.isEmpty ? message : Self.prefixed(variable, message))
    case "output": self.init(.internal, message, origin: .node)
    case "timeout": self.init(.deadlineExceeded, message.isEmpty ? text : message, origin: .node)
    case "cancelled": self.init(.cancelled, message.isEmpty ? text : message)
    case "memory": self.init(.internal, text, origin: .node)
    default: self.init(.unknown, text, origin: .node)
    }
    details = (name: name, message: message, traceback: traceback)
  }

  private static func prefixed(_ prefix: String, _ message: String) -> String {
    message.hasPrefix("input") ? message : prefix + message
  }
}
