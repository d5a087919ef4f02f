import Glibc

/// A step of the operating system failed: what was tried, on what, and `errno`.
public struct SystemFailure: Error, Sendable, CustomStringConvertible {
  /// What was tried, with the path or process.
  public var action: String
  public var code: Int32

  public init(_ action: String, code: Int32) {
    self.action = action
    self.code = code
  }

  /// With the `errno` of the call before.
  public init(_ action: String) { self.init(action, code: errno) }

  public var description: String { "\(action): \(String(cString: strerror(code)))" }
}

/// A file descriptor that is closed when the last reference goes.
public final class FileHandle: Sendable {
  public let number: Int32

  /// Takes the descriptor over.
  public init(owning number: Int32) { self.number = number }
  deinit { _ = close(number) }

  public enum Mode: Sendable { case read, write, append }

  /// Opens a file; `append` makes it when it isn't there, `write` does not.
  public static func open(_ path: String, _ mode: Mode) throws(SystemFailure) -> FileHandle {
    let flags =
      switch mode {
      case .read: O_RDONLY
      case .write: O_WRONLY
      case .append: O_WRONLY | O_CREAT | O_APPEND
      }
    let number = Glibc.open(path, flags | O_CLOEXEC, 0o600)
    guard number >= 0 else { throw SystemFailure("open \(path)") }
    return FileHandle(owning: number)
  }
}

/// Small files and folders, without Foundation.
public enum Files {
  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
  public static func isWritable(_ path: String) -> Bool { access(path, W_OK) == 0 }

  public static func size(_ path: String) -> Int64? {
    var status = stat()
    return stat(path, &status) == 0 ? Int64(status.st_size) : nil
  }

  /// The whole file, also of `/proc`, whose sizes are 0. At most `limit` bytes.
  public static func read(_ path: String, limit: Int = 64 << 20) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { _ = close(file) }
    return readToEnd(file, limit: limit)
  }

  /// The start of a file that others may have put there: nil for links, pipes and all that is no plain file.
  public static func readPlain(_ path: String, limit: Int) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard file >= 0 else { return nil }
    defer { _ = close(file) }
    var status = stat()
    guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return readToEnd(file, limit: limit)
  }

  public static func readText(_ path: String) -> String? {
    read(path).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The last `count` bytes of a file.
  public static func tail(_ path: String, count: Int) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { _ = close(file) }
    let end = lseek(file, 0, SEEK_END)
    _ = lseek(file, max(0, end - count), SEEK_SET)
    return String(decoding: readToEnd(file, limit: count), as: UTF8.self)
  }

  public static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600) throws(SystemFailure) {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    guard file >= 0 else { throw SystemFailure("open \(path)") }
    defer { _ = close(file) }
    try writeAll(bytes, to: file, name: path)
  }

  /// Writes a file of the kernel in one call, as it must be.
  public static func write(_ text: String, toKernelFile path: String) throws(SystemFailure) {
    let file = open(path, O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { throw SystemFailure("open \(path)") }
    defer { _ = close(file) }
    let bytes = Array(text.utf8)
    guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
      throw SystemFailure("write '\(text)' to \(path)")
    }
  }

  /// Appends one record in one call; refused where others have put a link or a pipe in the file's place.
  public static func append(_ text: String, to path: String) throws(SystemFailure) {
    let file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
    guard file >= 0 else { throw SystemFailure("open \(path)") }
    defer { _ = close(file) }
    try writeAll(Array(text.utf8), to: file, name: path)
  }

  /// Makes a folder and those above it.
  public static func makeFolder(_ path: String, mode: UInt32 = 0o700) throws(SystemFailure) {
    if mkdir(path, mode) == 0 || errno == EEXIST { return }
    guard errno == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
      throw SystemFailure("make the folder \(path)")
    }
    try makeFolder(String(path[..<slash]), mode: mode)
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw SystemFailure("make the folder \(path)") }
  }

  /// Names in a folder, sorted; empty when there is no such folder.
  public static func list(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes a file or a folder with all in it; what is gone already is no error. Follows no links.
  public static func removeTree(_ path: String) {
    if unlink(path) == 0 || errno == ENOENT { return }
    for name in list(path) { removeTree("\(path)/\(name)") }
    _ = rmdir(path)
  }

  /// The same file under a second name, or a copy where the file system can't do that.
  public static func linkOrCopy(_ source: String, to target: String) throws(SystemFailure) {
    if link(source, target) == 0 { return }
    guard errno == EXDEV || errno == EPERM || errno == EMLINK else {
      throw SystemFailure("link \(source) to \(target)")
    }
    let from = open(source, O_RDONLY | O_CLOEXEC)
    guard from >= 0 else { throw SystemFailure("open \(source)") }
    defer { _ = close(from) }
    let to = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard to >= 0 else { throw SystemFailure("open \(target)") }
    defer { _ = close(to) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = Glibc.read(from, &buffer, buffer.count)
      if count == 0 { return }
      guard count > 0 else { throw SystemFailure("read \(source)") }
      try writeAll(Array(buffer[..<count]), to: to, name: target)
    }
  }

  /// The path with links and `..` resolved; itself when it can't be.
  public static func resolved(_ path: String) -> String {
    guard let text = realpath(path, nil) else { return path }
    defer { free(text) }
    return String(cString: text)
  }

  /// First executable of this name on `PATH`.
  public static func findExecutable(_ name: String) -> String? {
    if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    for folder in path.split(separator: ":") where access("\(folder)/\(name)", X_OK) == 0 {
      return "\(folder)/\(name)"
    }
    return nil
  }

  static func readToEnd(_ file: Int32, limit: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while bytes.count < limit {
      let count = Glibc.read(file, &buffer, min(buffer.count, limit - bytes.count))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return bytes
  }

  static func writeAll(_ bytes: [UInt8], to file: Int32, name: String) throws(SystemFailure) {
    var start = 0
    while start < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        buffer.baseAddress.map { Glibc.write(file, $0 + start, buffer.count - start) } ?? 0
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw SystemFailure("write \(name)") }
      start += count
    }
  }
}
