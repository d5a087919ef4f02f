/// A point in time: microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 with milliseconds.
public struct Timestamp: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
  public var microseconds: Int64

  public init(microseconds: Int64) { self.microseconds = microseconds }
  public init(seconds: Int64) { microseconds = seconds * 1_000_000 }

  public var seconds: Int64 { microseconds / 1_000_000 }

  public static func < (left: Self, right: Self) -> Bool { left.microseconds < right.microseconds }
  public static func + (left: Self, right: Duration) -> Self {
    let parts = right.components
    return Timestamp(
      microseconds: left.microseconds + parts.seconds * 1_000_000 + parts.attoseconds / 1_000_000_000_000)
  }
  public static func - (left: Self, right: Self) -> Duration {
    .microseconds(left.microseconds - right.microseconds)
  }

  public var description: String {
    let milliseconds = floorDivide(microseconds, 1000)
    let total = floorDivide(milliseconds, 1000)
    let days = floorDivide(total, 86400)
    let inDay = total - days * 86400
    let (year, month, day) = Self.civil(fromDays: days)
    func pad(_ value: Int64, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    return
      "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T\(pad(inDay / 3600, 2)):\(pad(inDay / 60 % 60, 2)):"
      + "\(pad(inDay % 60, 2)).\(pad(milliseconds - total * 1000, 3))Z"
  }

  /// As `description`, with all that is known of the second.
  public var precise: String {
    let below = microseconds - floorDivide(microseconds, 1000) * 1000
    let digits = String(below + 1000).dropFirst()
    return description.dropLast() + digits + "Z"
  }

  /// Reads what `description` writes, with any number of fraction digits; offsets other than Z are refused.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count >= 20, bytes.last == 0x5a else { return nil }
    func number(_ range: Range<Int>) -> Int64? { Int64(String(decoding: bytes[range], as: UTF8.self)) }
    guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
      let hour = number(11..<13),
      let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month),
      (1...31).contains(day)
    else { return nil }
    var fraction: Int64 = 0
    if bytes[19] == 0x2e {
      var scale: Int64 = 100_000
      for byte in bytes[20..<(bytes.count - 1)] {
        guard (0x30...0x39).contains(byte) else { return nil }
        fraction += Int64(byte - 0x30) * scale
        scale /= 10
      }
    }
    let days = Self.days(year: year, month: month, day: day)
    microseconds = (days * 86400 + hour * 3600 + minute * 60 + second) * 1_000_000 + fraction
  }

  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let value = Timestamp(text) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is not an RFC 3339 time in UTC"))
    }
    self = value
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }

  /// Days since the epoch to a date of the proleptic Gregorian calendar, by eras of 400 years.
  private static func civil(fromDays days: Int64) -> (Int64, Int64, Int64) {
    let shifted = days + 719468
    let era = floorDivide(shifted, 146097)
    let dayOfEra = shifted - era * 146097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }

  private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = floorDivide(shiftedYear, 400)
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719468
  }
}

private func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
  value >= 0 ? value / divisor : -((-value + divisor - 1) / divisor)
}
