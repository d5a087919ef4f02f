import Domain
import Glibc

/// The calls to the file system that the blob store needs, with errors in its words.
enum Files {
  struct Failure: Error, CustomStringConvertible {
    var number: Int32
    var action: String
    var description: String { "\(action): \(String(cString: strerror(number)))" }
  }

  /// The error of the last system call.
  static func failure(_ action: String) -> PlatformError {
    let failure = Failure(number: errno, action: action)
    if DiskFull.means(failure.number) { return DiskFull.error(cause: failure) }
    return PlatformError(.internal, "the data folder can't be used (\(failure))", cause: failure)
  }

  static func makeFolder(_ path: String, mode: mode_t = 0o755) throws(PlatformError) {
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw failure("make folder \(path)") }
  }

  static func list(_ path: String) throws(PlatformError) -> [String] {
    guard let folder = opendir(path) else { throw failure("list \(path)") }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  static func status(_ path: String) -> stat? {
    var status = stat()
    return stat(path, &status) == 0 ? status : nil
  }

  static func modified(_ status: stat) -> Timestamp {
    Timestamp(
      microseconds: Int64(status.st_mtim.tv_sec) * 1_000_000 + Int64(status.st_mtim.tv_nsec) / 1000)
  }

  /// Sets the time of change to now; false when there is no such file.
  static func touch(_ path: String) -> Bool { utimensat(AT_FDCWD, path, nil, 0) == 0 }

  static func write(_ bytes: some Sequence<UInt8>, to descriptor: Int32) throws(PlatformError) {
    let bytes = Array(bytes)
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        Glibc.write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw failure("write") }
      written += count
    }
  }

  /// Reads a whole file of at most `limit` bytes; nil when it does not exist.
  static func read(_ path: String, limit: Int) throws(PlatformError) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0, errno == ENOENT { return nil }
    guard descriptor >= 0 else { throw failure("open \(path)") }
    defer { close(descriptor) }
    var result: [UInt8] = []
    try chunks(of: descriptor) { (chunk) throws(PlatformError) in
      guard result.count + chunk.count <= limit else {
        throw PlatformError(.payloadTooLarge, "\(path) is larger than \(limit) bytes")
      }
      result.append(contentsOf: chunk)
    }
    return result
  }

  /// Reads from the current position to the end.
  static func chunks(
    of descriptor: Int32, _ body: (ArraySlice<UInt8>) throws(PlatformError) -> Void
  ) throws(PlatformError) {
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure("read") }
      if count == 0 { return }
      try body(buffer[..<count])
    }
  }

  /// Replaces a file in one step: after a crash or a power cut there is the old one or the new one, never a
  /// part.
  static func replace(
    _ path: String, with bytes: [UInt8], through temporary: String, mode: mode_t
  ) throws(PlatformError) {
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure("make \(temporary)") }
    do throws(PlatformError) {
      defer { close(descriptor) }
      try write(bytes, to: descriptor)
      try seal(descriptor, mode: mode)
    } catch {
      unlink(temporary)
      throw error
    }
    try move(temporary, to: path)
  }

  /// Sets the mode and waits until the bytes are on the disk.
  static func seal(_ descriptor: Int32, mode: mode_t) throws(PlatformError) {
    guard fchmod(descriptor, mode) == 0, fsync(descriptor) == 0 else { throw failure("write to the disk") }
  }

  /// Renames and waits until the name is on the disk.
  static func move(_ old: String, to new: String) throws(PlatformError) {
    guard rename(old, new) == 0 else {
      let error = failure("rename \(old) to \(new)")
      unlink(old)
      throw error
    }
    try syncFolder(String(new[..<(new.lastIndex(of: "/") ?? new.startIndex)]))
  }

  static func syncFolder(_ path: String) throws(PlatformError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("open \(path)") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure("write \(path) to the disk") }
  }
}
