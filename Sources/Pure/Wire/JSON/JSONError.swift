/// Why a text is not acceptable JSON, and where.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Offset in bytes from the start of the text.
  public var offset: Int
  public var reason: String

  public init(offset: Int, reason: String) {
    self.offset = offset
    self.reason = reason
  }

  public var description: String { "byte \(offset): \(reason)" }
}

/// A JSON value does not have the shape that was asked for. `message` begins with the field and names the fix.
public struct JSONFieldError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Path of the field, like `spec.inputs[0].type`; empty for the whole body.
  public var field: String
  public var message: String

  public init(field: String, message: String) {
    self.field = field
    self.message = message
  }

  public var description: String { message }
}
