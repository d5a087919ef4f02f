import Domain
import Testing

@testable import ControlAPI

struct TargetTests {
  @Test func `percent escapes in the path and the query are decoded, a plus is a space only in the query`()
    throws
  {
    let target = try Target("/v1/nodes/a%20b+c?name=x%26y+z&empty")
    #expect(target.segments == ["v1", "nodes", "a b+c"])
    #expect(target.query == ["name": "x&y z", "empty": ""])
    #expect(target.verb == nil)
  }

  @Test func `letters behind the last colon are a verb`() throws {
    let target = try Target("/v1/nodes/n1:suspend?x=1")
    #expect(target.segments == ["v1", "nodes", "n1"])
    #expect(target.verb == "suspend")
  }

  @Test func `a digest keeps its colon`() throws {
    let digest = "sha256:" + String(repeating: "ab", count: 32)
    let target = try Target("/v1/projects/p/blobs/\(digest)")
    #expect(target.segments.last == digest)
    #expect(target.verb == nil)
  }

  @Test(arguments: ["/v1/%zz", "/v1/%4", "/v1/nodes?x=%", "/v1/%ff"])
  func `a broken escape or bytes that are not UTF-8 are the caller's error`(text: String) throws {
    let error = #expect(throws: PlatformError.self) { try Target(text) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.origin == .caller)
  }

  @Test func `a query parameter given twice is refused by its name`() throws {
    let error = #expect(throws: PlatformError.self) { try Target("/v1/nodes?folder=a&fold%65r=b") }
    #expect(error?.field == "folder")
    #expect(error?.code == .invalidArgument)
  }
}
