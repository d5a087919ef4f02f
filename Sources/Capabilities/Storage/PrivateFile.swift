public import Domain
import Glibc

/// A small file that only its owner may read: keys and the operator's token.
public enum PrivateFile {
  /// Writes the text with mode 0600, whole or not at all, on the disk when the call returns.
  public static func write(_ text: String, to path: String) throws(PlatformError) {
    try Files.replace(path, with: Array(text.utf8), through: path + ".tmp", mode: 0o600)
  }

  /// The text; nil when there is no such file. Refuses a file that others may read.
  public static func read(_ path: String) throws(PlatformError) -> String? {
    guard let status = Files.status(path) else { return nil }
    guard status.st_mode & 0o077 == 0 else {
      throw PlatformError(.failedPrecondition, "\(path) can be read by others: run chmod 600 \(path)")
    }
    return try Files.read(path, limit: 65536).map { String(decoding: $0, as: UTF8.self) }
  }
}
