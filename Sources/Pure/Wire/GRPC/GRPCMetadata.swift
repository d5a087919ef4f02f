/// The header `grpc-timeout`: how long the caller waits, counted from when it sent the call.
public enum GRPCTimeout {
  /// Nanoseconds; nil when the value is not one to eight digits and a unit of `H M S m u n`.
  ///
  /// Beyond what 64 bits hold (99999999H is 11,000 years) the longest value is returned.
  public static func nanoseconds(_ value: some Collection<UInt8>) -> UInt64? {
    guard (2...9).contains(value.count) else { return nil }
    var amount: UInt64 = 0
    for byte in value.dropLast() {
      guard (0x30...0x39).contains(byte) else { return nil }
      amount = amount * 10 + UInt64(byte - 0x30)
    }
    let unit: UInt64
    switch value.suffix(1).first {
    case 0x48: unit = 3_600_000_000_000  // H
    case 0x4d: unit = 60_000_000_000  // M
    case 0x53: unit = 1_000_000_000  // S
    case 0x6d: unit = 1_000_000  // m
    case 0x75: unit = 1000  // u
    case 0x6e: unit = 1  // n
    default: return nil
    }
    let (product, overflow) = amount.multipliedReportingOverflow(by: unit)
    return overflow ? UInt64.max : product
  }

  /// Milliseconds, rounded up so that a short timeout is not none at all; 0 only when the caller sent 0.
  public static func milliseconds(_ value: some Collection<UInt8>) -> UInt64? {
    guard let nanoseconds = nanoseconds(value) else { return nil }
    return nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1)
  }

  /// The value of a header: the finest unit that holds it in eight digits.
  public static func text(nanoseconds: UInt64) -> String {
    for (unit, letter) in [
      (UInt64(1), "n"), (1000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M"),
    ] where nanoseconds / unit < 100_000_000 {
      return "\(nanoseconds / unit)\(letter)"
    }
    return "\(min(nanoseconds / 3_600_000_000_000, 99_999_999))H"
  }
}

/// The trailer `grpc-message`: text in which all but printable ASCII, and `%`, is `%XX` per byte of its UTF-8.
public enum GRPCMessageText {
  /// Longest message that is sent; trailers count against the peer's limit of headers.
  public static let maximumBytes = 4096

  /// The encoded text. A long one is cut between characters.
  public static func encoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var out: [UInt8] = []
    for character in text {
      var part: [UInt8] = []
      for byte in character.utf8 {
        if (0x20...0x7e).contains(byte), byte != 0x25 {
          part.append(byte)
        } else {
          part += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
      }
      guard out.count + part.count <= maximumBytes else { break }
      out += part
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// The text of an encoded one. Broken escapes stand for themselves: a status is never lost for its message.
  public static func decoded(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var out: [UInt8] = []
    var at = 0
    while at < bytes.count {
      if bytes[at] == 0x25, at + 2 < bytes.count, let high = hex(bytes[at + 1]), let low = hex(bytes[at + 2])
      {
        out.append(high << 4 | low)
        at += 3
      } else {
        out.append(bytes[at])
        at += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func hex(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }
}

/// Values of headers whose names end in `-bin`.
public enum GRPCBinary {
  /// Base64 without padding, as the encoding of gRPC wants it to be sent.
  public static func encoded(_ bytes: [UInt8]) -> String {
    Base64.encoded(bytes, padded: false)
  }
}
