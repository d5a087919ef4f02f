import Domain
import FoundationEssentials

/// Reads lines of a log: flat JSON objects, which are most of them, at once, and what is written otherwise by the library.
enum LogLineReader {
  static func line(_ bytes: ArraySlice<UInt8>) -> LogLine? {
    var reader = Flat(bytes: bytes)
    return reader.read() ?? (try? JSONDecoder().decode(LogLine.self, from: Data(bytes)))
  }

  /// Gives up (nil) at the first thing that is not plain.
  private struct Flat {
    var bytes: ArraySlice<UInt8>

    mutating func read() -> LogLine? {
      var line = LogLine(time: "", stream: "", message: "")
      guard take(0x7b) else { return nil }
      var found = 0
      repeat {
        guard let name = string(), take(0x3a) else { return nil }
        switch name {
        case "release":
          guard let number = number() else { return nil }
          line.release = number
        case "time", "stream", "message", "instance", "requestId":
          guard let text = string() else { return nil }
          switch name {
          case "time": line.time = text
          case "stream": line.stream = text
          case "message": line.message = text
          case "instance": line.instance = text
          default: line.requestId = text
          }
          if name == "time" || name == "stream" || name == "message" { found += 1 }
        default: return nil
        }
      } while take(0x2c)
      return take(0x7d) && bytes.isEmpty && found == 3 ? line : nil
    }

    private mutating func take(_ byte: UInt8) -> Bool {
      while bytes.first == 0x20 { bytes.removeFirst() }
      guard bytes.first == byte else { return false }
      bytes.removeFirst()
      return true
    }

    private mutating func number() -> Int? {
      while bytes.first == 0x20 { bytes.removeFirst() }
      let digits = bytes.prefix { (0x30...0x39).contains($0) }
      guard !digits.isEmpty, digits.count < 10 else { return nil }
      bytes = bytes.dropFirst(digits.count)
      return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }

    private mutating func string() -> String? {
      guard take(0x22) else { return nil }
      guard let end = bytes.firstIndex(where: { $0 == 0x22 || $0 == 0x5c }) else { return nil }
      if bytes[end] == 0x22 {
        defer { bytes = bytes[(end + 1)...] }
        return String(decoding: bytes[bytes.startIndex..<end], as: UTF8.self)
      }
      var text = Array(bytes[bytes.startIndex..<end])
      var rest = bytes[end...]
      while let byte = rest.popFirst(), byte != 0x22 {
        guard byte == 0x5c else {
          text.append(byte)
          continue
        }
        switch rest.popFirst() {
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "r"): text.append(0x0d)
        case .some(let plain) where plain == 0x22 || plain == 0x5c || plain == 0x2f: text.append(plain)
        // Escapes by number, in pairs or not: the library knows.
        default: return nil
        }
      }
      bytes = rest
      return String(decoding: text, as: UTF8.self)
    }
  }
}
