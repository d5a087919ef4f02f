/// Times as the engine writes them (`2026-01-02T03:04:05.123456789Z`) and as it takes them (`1767323045.123456789`).
enum EngineTime {
  /// nil for what is no such time.
  static func moment(_ text: String) -> String? {
    let bytes = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int? {
      guard range.upperBound <= bytes.count else { return nil }
      return Int(String(decoding: bytes[range], as: UTF8.self))
    }
    guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z"), let year = number(0..<4),
      let month = number(5..<7),
      let day = number(8..<10), let hour = number(11..<13), let minute = number(14..<16),
      let second = number(17..<19)
    else { return nil }
    var fraction = bytes[19...].dropLast()
    if fraction.first == UInt8(ascii: ".") { fraction = fraction.dropFirst() }
    guard fraction.count <= 9, fraction.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    let digits = String(decoding: fraction, as: UTF8.self)
    return "\(seconds).\(digits)\(String(repeating: "0", count: 9 - digits.utf8.count))"
  }

  /// Since 1970-01-01, in the Gregorian calendar.
  private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    // Years that begin in March, so that the leap day is the last.
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  /// Whether a line's time is later than another's: fractions may be cut short.
  static func isLater(_ time: String, than other: String) -> Bool {
    guard let left = moment(time), let right = moment(other) else { return true }
    return left.utf8.count == right.utf8.count ? left > right : left.utf8.count > right.utf8.count
  }
}
