/// Bounds of values that users give. An error names the field, what was given and what may be.
public enum FieldCheck {
  /// A number within `range`; `unit` is for the message.
  public static func within(
    _ value: Double, _ range: ClosedRange<Double>, _ field: String, _ unit: String
  ) throws(PlatformError) {
    guard range.contains(value) else {
      throw .invalid(
        field, "\(field): \(value) is out of range; use \(range.lowerBound) to \(range.upperBound) \(unit)")
    }
  }

  /// A TCP port.
  public static func port(_ port: Int, _ field: String) throws(PlatformError) {
    guard (1...65535).contains(port) else {
      throw .invalid(field, "\(field): \(port) is not a port; use 1 to 65535")
    }
  }
}
