internal import Domain
internal import Wire

/// Times: messages are `google.protobuf.Timestamp`, JSON is ISO 8601.
enum TimeText {
  /// Seconds of 0001-01-01 and 9999-12-31, the bounds of both forms.
  private static let bounds: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

  /// The text of a message, in UTC with microseconds.
  static func text(_ reader: inout ProtobufReader) throws(ProtobufError) -> String {
    var seconds: Int64 = 0
    var nanoseconds: Int32 = 0
    while let field = try reader.next() {
      switch field.number {
      case 1: seconds = Int64(bitPattern: try reader.varint(field))
      case 2: nanoseconds = try reader.int32(field)
      default: try reader.skip(field)
      }
    }
    guard bounds.contains(seconds), (0...999_999_999).contains(nanoseconds) else {
      throw ProtobufError("not a time between the years 1 and 9999")
    }
    let whole = Timestamp(seconds: seconds).description.dropLast(5)
    let fraction = String(nanoseconds / 1000)
    return "\(whole).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)Z"
  }

  /// The message of a text. Without an offset it is taken for UTC; without a time for midnight.
  static func message(_ text: String) throws(ProtobufError) -> [UInt8] {
    guard let (seconds, nanoseconds) = parse(Array(text.utf8)), bounds.contains(seconds) else {
      throw ProtobufError("'\(text.prefix(40))' is not a time of ISO 8601 between the years 1 and 9999")
    }
    var writer = ProtobufWriter()
    if seconds != 0 { writer.integer(1, seconds) }
    if nanoseconds != 0 { writer.integer(2, nanoseconds) }
    return writer.bytes
  }

  private static func parse(_ text: [UInt8]) -> (Int64, Int)? {
    func digits(_ at: Int, _ count: Int) -> Int? {
      guard at >= 0, at + count <= text.count, count > 0 else { return nil }
      var value = 0
      for byte in text[at..<(at + count)] {
        guard (0x30...0x39).contains(byte) else { return nil }
        value = value * 10 + Int(byte - 0x30)
      }
      return value
    }
    guard digits(0, 4) != nil, text[4...].first == 0x2d, digits(5, 2) != nil, text[7...].first == 0x2d,
      digits(8, 2) != nil
    else { return nil }
    let date = String(decoding: text[0..<10], as: UTF8.self)
    guard let day = Timestamp("\(date)T00:00:00Z") else { return nil }
    var seconds = day.seconds
    guard text.count > 10 else { return (seconds, 0) }
    guard text[10] == 0x54 || text[10] == 0x20, let hour = digits(11, 2), hour < 24 else { return nil }
    seconds += Int64(hour) * 3600
    var at = 13
    var nanoseconds = 0
    for (unit, limit) in [(60, 60), (1, 60)] where at < text.count && text[at] == 0x3a {
      guard let value = digits(at + 1, 2), value < limit else { return nil }
      seconds += Int64(value * unit)
      at += 3
    }
    if at < text.count, text[at] == 0x2e {
      at += 1
      let start = at
      while at < text.count, (0x30...0x39).contains(text[at]) { at += 1 }
      guard at > start, let value = digits(start, min(at - start, 9)) else { return nil }
      nanoseconds = value
      for _ in min(at - start, 9)..<9 { nanoseconds *= 10 }
    }
    guard at < text.count else { return (seconds, nanoseconds) }
    if text[at] == 0x5a { return at + 1 == text.count ? (seconds, nanoseconds) : nil }
    guard text[at] == 0x2b || text[at] == 0x2d, let hours = digits(at + 1, 2), hours < 24,
      at + 5 < text.count, text[at + 3] == 0x3a, let minutes = digits(at + 4, 2), minutes < 60,
      text.count == at + 6
    else { return nil }
    let offset = Int64(hours * 3600 + minutes * 60)
    return (text[at] == 0x2b ? seconds - offset : seconds + offset, nanoseconds)
  }
}
