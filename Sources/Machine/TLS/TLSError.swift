internal import COpenSSL

/// Why a context could not be made; the message names the file and the fix.
public struct TLSError: Error, Sendable, CustomStringConvertible {
  public var message: String
  public var description: String { message }

  init(_ message: String) { self.message = message }

  /// What OpenSSL says about the last failure of this thread; clears its list.
  static func reason() -> String {
    var words: [String] = []
    while true {
      let code = ERR_get_error()
      guard code != 0 else { break }
      if let text = ERR_reason_error_string(code) { words.append(String(cString: text)) }
    }
    return words.first ?? "no reason given"
  }
}
