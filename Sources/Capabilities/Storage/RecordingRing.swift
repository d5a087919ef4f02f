public import Domain
import Glibc

/// A ring of sealed records in files, the oldest of which go first.
///
/// `FOLDER/00000001.rec`...: each record is its length (32 bits, little-endian), its time (64 bits, microseconds since 1970), and its bytes. A
/// file is written to by one process only; one that a crash cut short ends with its last whole record. What was appended last may be lost
/// with the power: it is not waited for.
///
/// Not shared: its owner serializes all calls.
public final class RecordingRing {
  private struct Segment {
    var number: Int
    var bytes = 0
    var count = 0
    var oldest: Timestamp?
    var newest: Timestamp?
  }

  private static let headBytes = 12
  /// A ring has so many files at least, so that the oldest part that goes is small.
  private static let parts = 8

  public let folder: String
  private var segments: [Segment] = []
  private var descriptor: Int32 = -1
  private var lastNumber = 0

  /// Looks at what is there. Throws when the folder can't be made or read.
  public init(folder: String) throws(PlatformError) {
    self.folder = folder
    let parent = String(folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)])
    try Files.makeFolder(parent, mode: 0o700)
    try Files.makeFolder(folder, mode: 0o700)
    let numbers = try Files.list(folder).compactMap { name in
      name.hasSuffix(".rec") ? Int(name.dropLast(4)) : nil
    }
    for number in numbers.sorted() {
      var segment = Segment(number: number)
      try Self.each(in: path(number)) { time, bytes in
        segment.bytes += Self.headBytes + bytes.count
        segment.count += 1
        segment.oldest = segment.oldest ?? time
        segment.newest = time
      }
      lastNumber = number
      if segment.count == 0 { unlink(path(number)) } else { segments.append(segment) }
    }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  public var bytes: Int { segments.reduce(0) { $0 + $1.bytes } }
  public var count: Int { segments.reduce(0) { $0 + $1.count } }
  public var oldest: Timestamp? { segments.first?.oldest }
  public var newest: Timestamp? { segments.last?.newest }

  private func path(_ number: Int) -> String {
    let digits = String(number)
    return folder + "/" + String(repeating: "0", count: max(8 - digits.count, 0)) + digits + ".rec"
  }

  /// The number of the file that the next record of so many bytes will be in.
  public func segment(for size: Int, most: Int) throws(PlatformError) -> Int {
    if descriptor >= 0, let last = segments.last, last.bytes + size <= max(most / Self.parts, 4096) {
      return last.number
    }
    if descriptor >= 0 { close(descriptor) }
    // A process that takes over from this one has files of its own.
    repeat {
      lastNumber += 1
      descriptor = open(path(lastNumber), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o600)
    } while descriptor < 0 && errno == EEXIST
    guard descriptor >= 0 else { throw Files.failure("make \(path(lastNumber))") }
    segments.append(Segment(number: lastNumber))
    return lastNumber
  }

  /// Adds a record to the file that `segment` named, and lets go of the oldest ones beyond `most` bytes.
  public func append(_ bytes: [UInt8], at time: Timestamp, most: Int) throws(PlatformError) {
    guard descriptor >= 0, !segments.isEmpty else { return }
    var frame: [UInt8] = []
    frame.reserveCapacity(Self.headBytes + bytes.count)
    for shift in stride(from: 0, to: 32, by: 8) {
      frame.append(UInt8(truncatingIfNeeded: bytes.count >> shift))
    }
    for shift in stride(from: Int64(0), to: 64, by: 8) {
      frame.append(UInt8(truncatingIfNeeded: time.microseconds >> shift))
    }
    frame += bytes
    do throws(PlatformError) { try Files.write(frame, to: descriptor) } catch {
      // Part of a record may stand there: nothing more goes behind it.
      close(descriptor)
      descriptor = -1
      throw error
    }
    let last = segments.count - 1
    segments[last].bytes += frame.count
    segments[last].count += 1
    segments[last].oldest = segments[last].oldest ?? time
    segments[last].newest = time
    while self.bytes > most, segments.count > 1 { dropFirst() }
  }

  /// Lets go of files whose newest record is older.
  public func drop(before time: Timestamp) {
    while let first = segments.first, let newest = first.newest, newest < time {
      if segments.count == 1, descriptor >= 0 {
        close(descriptor)
        descriptor = -1
      }
      dropFirst()
    }
  }

  private func dropFirst() { unlink(path(segments.removeFirst().number)) }

  /// Lets go of everything.
  public func clear() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    for segment in segments { unlink(path(segment.number)) }
    segments = []
  }

  /// Every record, the oldest first.
  public func each(_ body: (_ segment: Int, _ at: Timestamp, _ bytes: ArraySlice<UInt8>) -> Void)
    throws(PlatformError)
  {
    for segment in segments {
      try Self.each(in: path(segment.number)) { body(segment.number, $0, $1) }
    }
  }

  private static func each(
    in path: String, _ body: (_ at: Timestamp, _ bytes: ArraySlice<UInt8>) -> Void
  ) throws(PlatformError) {
    guard let bytes = try Files.read(path, limit: 1 << 30) else { return }
    var at = 0
    while at + headBytes <= bytes.count {
      var size = 0
      for index in 0..<4 { size |= Int(bytes[at + index]) << (8 * index) }
      var time: Int64 = 0
      for index in 0..<8 { time |= Int64(bytes[at + 4 + index]) << Int64(8 * index) }
      guard at + headBytes + size <= bytes.count else { return }
      body(Timestamp(microseconds: time), bytes[(at + headBytes)..<(at + headBytes + size)])
      at += headBytes + size
    }
  }

  /// Removes the folder of a ring that nobody has open.
  public static func remove(folder: String) {
    for name in (try? Files.list(folder)) ?? [] { unlink(folder + "/" + name) }
    rmdir(folder)
  }

  /// Folders of rings in a folder.
  public static func names(in folder: String) -> [String] { (try? Files.list(folder)) ?? [] }
}
