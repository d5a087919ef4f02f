/// The messages of `google/protobuf/struct.proto` that stand for JSON values, and their bounds.
public enum DynamicValue {
  /// Deepest nesting of objects and arrays, as for JSON texts.
  public static let maximumDepth = JSONScanner.maximumDepth
  /// Most bytes of one message or text.
  public static let maximumBytes = 16 << 20

  /// Which of the three messages.
  public enum Shape: Sendable {
    /// `google.protobuf.Struct`: an object
    case object
    /// `google.protobuf.ListValue`: an array
    case list
    /// `google.protobuf.Value`: anything
    case value
  }
}
