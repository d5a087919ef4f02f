import Domain
import Synchronization
import Testing

@testable import ImageNodes

@Suite struct EngineParsingTests {
  @Test(arguments: [
    ("btrfs", "", RootStorage.perhaps(countsImage: true)), ("zfs", "", .perhaps(countsImage: false)),
    ("overlay2", "xfs", .perhaps(countsImage: false)), ("overlay", "xfs", .perhaps(countsImage: false)),
    ("overlay2", "extfs", .never("storage driver overlay2 on extfs knows no sizes of containers")),
    ("fuse-overlayfs", "xfs", .never("storage driver fuse-overlayfs knows no sizes of containers")),
  ])
  func `only storage that can is asked for a size`(_ driver: String, _ below: String, _ expected: RootStorage)
  {
    var info = EngineInfo(NCPU: 1, MemTotal: 1)
    info.Driver = driver
    info.DriverStatus = [["Supports d_type", "true"], ["Backing Filesystem", below]]
    #expect(RootStorage(info) == expected)
    info.DriverStatus = [["driver-type", "io.containerd.snapshotter.v1"]]
    guard case .never = RootStorage(info) else {
      Issue.record("containerd's \(driver) knows no sizes")
      return
    }
  }

  private func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    return [stream, 0, 0, 0, 0, 0, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
  }

  private func lines(_ bytes: [UInt8], by step: Int) -> [ContainerLine] {
    var reader = LogReader()
    var result: [ContainerLine] = []
    var at = 0
    while at < bytes.count {
      let end = min(at + step, bytes.count)
      #expect(reader.read(bytes[at..<end]) { result.append($0) })
      at = end
    }
    reader.finish { result.append($0) }
    return result
  }

  @Test func `lines of both streams are put together from frames, however the bytes are cut`() {
    let bytes =
      frame(1, "2026-01-01T00:00:00.1Z first\r\n") + frame(2, "2026-01-01T00:00:00.2Z wrong ")
      + frame(1, "2026-01-01T00:00:00.3Z second line\n") + frame(2, "2026-01-01T00:00:00.4Z thing\n")
      + frame(1, "2026-01-01T00:00:00.5Z no end")
    for step in [1, 3, 7, 8, 9, 1000] {
      let found = lines(bytes, by: step)
      #expect(found.map(\.text) == ["first", "second line", "wrong thing", "no end"])
      #expect(found.map(\.stream) == ["stdout", "stdout", "stderr", "stdout"])
      #expect(found[2].time == "2026-01-01T00:00:00.2Z")
    }
  }

  @Test func `a log without frames is refused`() {
    var reader = LogReader()
    #expect(!reader.read(ArraySlice("plain text of a terminal\n".utf8)) { _ in })
  }

  @Test func `the progress of a pull and a refusal in its stream are read`() {
    var reader = PullReader()
    let text = """
      {"status":"Pulling from team/testapp","id":"1"}
      {"status":"Pulling fs layer","progressDetail":{},"id":"aa"}
      {"status":"Downloading","progressDetail":{"current":1048576,"total":4194304},"id":"aa"}
      {"status":"Already exists","progressDetail":{},"id":"bb"}

      """
    let progress = reader.read(ArraySlice(text.utf8))
    #expect(progress?.text == "1 of 2 layers, 1 of 4 MiB")
    #expect(reader.refusal == nil)
    _ = reader.read(ArraySlice("{\"errorDetail\":{\"message\":\"no space left\"},\"error\":\"x\"}\n".utf8))
    #expect(reader.refusal == "no space left")
  }

  @Test func `versions are compared by number`() throws {
    let old = try #require(EngineVersion("1.9"))
    let new = try #require(EngineVersion("1.41"))
    #expect(old < new)
    #expect(EngineVersion("1") == nil)
    #expect("\(new)" == "1.41")
  }

  @Test func `moments of events keep their zeros`() {
    let event = EngineEvent(
      Action: "die", Actor: .init(ID: "x", Attributes: nil), timeNano: 1_700_000_000_000_000_042)
    #expect(event.moment == "1700000000.000000042")
  }

  @Test func `times of lines become moments`() {
    #expect(EngineTime.moment("2026-01-02T03:04:05.12Z") == "1767323045.120000000")
    #expect(EngineTime.moment("1970-01-01T00:00:00Z") == "0.000000000")
    #expect(EngineTime.moment("2024-02-29T23:59:59.999999999Z") == "1709251199.999999999")
    #expect(EngineTime.moment("yesterday") == nil)
    #expect(EngineTime.isLater("2026-01-02T03:04:05.2Z", than: "2026-01-02T03:04:05.123456789Z"))
    #expect(!EngineTime.isLater("2026-01-02T03:04:05.2Z", than: "2026-01-02T03:04:05.2Z"))
  }

  @Test func `names of images are told apart from registries, tags and digests`() throws {
    let digest = "sha256:" + String(repeating: "a", count: 64)
    let cases: [(String, registry: String, repository: String, tag: String?, digest: String?)] = [
      ("nginx", "docker.io", "nginx", "latest", nil),
      ("team/app:1.2", "docker.io", "team/app", "1.2", nil),
      ("localhost/app", "localhost", "localhost/app", "latest", nil),
      ("127.0.0.1:5000/team/app:x_Y", "127.0.0.1:5000", "127.0.0.1:5000/team/app", "x_Y", nil),
      ("ghcr.io/a/b@\(digest)", "ghcr.io", "ghcr.io/a/b", nil, digest),
      ("ghcr.io/a/b:1@\(digest)", "ghcr.io", "ghcr.io/a/b", "1", digest),
    ]
    for (text, registry, repository, tag, digest) in cases {
      let image = try ImageReference(text)
      #expect(image.registry == registry)
      #expect(image.repository == repository)
      #expect(image.tag == tag)
      #expect(image.digest == digest)
    }
  }

  @Test(arguments: [
    "", "Nginx", "https://ghcr.io/a", "a b", "a:", "a:-x", "a//b", "-a", "a@sha256:12", "ghcr.io/Team/app",
    "/a", "a/",
  ])
  func `a malformed name is refused with the field and an example`(_ text: String) {
    let error = #expect(throws: PlatformError.self) { try ImageReference(text) }
    #expect(error?.field == "image")
    #expect(error?.message.contains("ghcr.io/team/app:1.2") == true)
  }
}
