/// Why bytes are not an acceptable protobuf message, and where.
public struct ProtobufError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Path of the field, like `input.rows[3].price`; empty for the message itself.
  public var path: String
  /// What is wrong and what to send instead; does not repeat the path.
  public var reason: String

  public init(path: String = "", _ reason: String) {
    self.path = path
    self.reason = reason
  }

  public var description: String { path.isEmpty ? reason : "\(path): \(reason)" }

  /// The same error seen from the message that holds the field `name`.
  public func within(_ name: String) -> ProtobufError {
    let joint = path.isEmpty || path.hasPrefix("[") ? "" : "."
    return ProtobufError(path: name + joint + path, reason)
  }
}
