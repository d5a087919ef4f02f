/// The id of a request in a line that a container wrote: it got it as `x-request-id` and may have written it down.
///
/// Only ids that the platform made are known by their shape: `req` and 17 letters or digits, a word of its own.
enum RequestMention {
  static func first(in line: String) -> String? {
    var word: [UInt8] = []
    for byte in line.utf8 {
      let isPart =
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || byte == 0x5f || byte == 0x2d
      guard !isPart else {
        if word.count <= 20 { word.append(byte) }
        continue
      }
      if isID(word) { break }
      word = []
    }
    return isID(word) ? String(decoding: word, as: UTF8.self) : nil
  }

  private static func isID(_ word: [UInt8]) -> Bool {
    word.count == 20 && word.starts(with: "req".utf8)
      && word.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) }
  }
}
