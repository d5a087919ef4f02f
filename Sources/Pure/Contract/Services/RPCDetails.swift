public import Wire

/// `NodeExecutionErrorDetails`: what Python raised in the cell.
public struct ExecutionErrorDetails: Sendable, Equatable {
  public var name: String
  public var message: String
  public var traceback: [String]

  public init(name: String, message: String, traceback: [String]) {
    self.name = name
    self.message = message
    self.traceback = traceback
  }

  /// The detail of a status. Clients bound what they take of headers: the oldest lines of a long traceback are left out.
  public var any: ProtobufAny {
    var writer = ProtobufWriter()
    writer.nonEmpty(1, Self.cut(name, 200))
    writer.nonEmpty(2, Self.cut(message, 1000))
    var room = 2400
    var kept: [String] = []
    for line in traceback.reversed() {
      let line = Self.cut(line, 1000)
      room -= line.utf8.count + 3
      guard room > 0 else { break }
      kept.append(line)
    }
    if kept.count < traceback.count {
      writer.string(3, "… \(traceback.count - kept.count) earlier lines are in the node's log")
    }
    for line in kept.reversed() { writer.string(3, line) }
    return ProtobufAny(message: "yandex.cloud.datasphere.v1.NodeExecutionErrorDetails", value: writer.bytes)
  }

  /// At most `count` bytes, cut between characters.
  static func cut(_ text: String, _ count: Int) -> String {
    guard text.utf8.count > count else { return text }
    var result = ""
    var used = 3
    for character in text {
      used += character.utf8.count
      guard used <= count else { break }
      result.append(character)
    }
    return result + "…"
  }
}

/// The status of a call as header or trailer lines.
public enum RPCDetails {
  /// `google.rpc.RetryInfo`
  public static func retry(afterSeconds seconds: Int) -> ProtobufAny {
    var writer = ProtobufWriter()
    writer.message(1) { $0.integer(1, seconds) }
    return ProtobufAny(message: "google.rpc.RetryInfo", value: writer.bytes)
  }

  /// Names and values of `grpc-status`, `grpc-message` and, where there are details, `grpc-status-details-bin`.
  public static func fields(_ status: RPCStatus) -> [(name: String, value: String)] {
    var bounded = status
    bounded.message = ExecutionErrorDetails.cut(status.message, 1000)
    var fields = [(name: "grpc-status", value: String(status.code))]
    if !status.message.isEmpty {
      fields.append((name: "grpc-message", value: GRPCMessageText.encoded(bounded.message)))
    }
    if !status.details.isEmpty {
      fields.append((name: "grpc-status-details-bin", value: GRPCBinary.encoded(bounded.bytes)))
    }
    return fields
  }

  /// The same as lines that end with CR LF.
  public static func lines(_ status: RPCStatus) -> String {
    fields(status).map { "\($0.name): \($0.value)\r\n" }.joined()
  }
}
