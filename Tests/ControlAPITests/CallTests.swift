import Access
import Domain
import HTTPModel
import Testing

@testable import ControlAPI

struct CallTests {
  private let folder = FolderID.random()

  private func call(_ target: String, body: String = "", role: Role? = nil) throws -> Call {
    let bindings = role.map { [RoleBinding(subject: "sva1", role: $0, folderID: folder)] } ?? []
    return Call(
      request: HTTPRequest(method: "POST", target: target, body: Array(body.utf8)), segments: [],
      query: try Target(target).query,
      principal: Principal(subject: "sva1", tokenID: "t1", expiresAt: Timestamp(seconds: 1_800_000_000)),
      bindings: bindings)
  }

  @Test func `an unknown body field is named`() throws {
    let call = try call("/v1/folders", body: #"{"name": "a", "colour": "red"}"#)
    let error = #expect(throws: PlatformError.self) { try call.body(CreateFolderRequest.self) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.field == "colour")
  }

  @Test func `an empty body is refused`() throws {
    let call = try call("/v1/folders")
    let error = #expect(throws: PlatformError.self) { try call.body(CreateFolderRequest.self) }
    #expect(error?.code == .invalidArgument)
  }

  @Test func `an unknown query parameter is named together with the known ones`() throws {
    let call = try call("/v1/nodes?folder=a&sort=name")
    let error = #expect(throws: PlatformError.self) { try call.allowQuery("folder", "page_size") }
    #expect(error?.field == "sort")
    #expect(error?.message.contains("folder, page_size") == true)
  }

  @Test(arguments: ["0", "1001", "x", "-1", ""])
  func `a page size out of bounds is refused`(size: String) throws {
    let call = try call("/v1/nodes?page_size=\(size)")
    let error = #expect(throws: PlatformError.self) { try Paging.size(call) }
    #expect(error?.field == "page_size")
  }

  @Test func `pages follow each other by token until all items were seen once`() throws {
    let all = (0..<7).map(String.init)
    var seen: [String] = []
    var token: String?
    var pages = 0
    repeat {
      let call = try call("/v1/nodes?page_size=3" + (token.map { "&page_token=\($0)" } ?? ""))
      let (page, next) = try Paging.page(all, call) { $0 }
      seen += page
      token = next
      pages += 1
    } while token != nil && pages < 10
    #expect(seen == all)
    #expect(pages == 3)
  }

  @Test func `a page token from nowhere is refused`() throws {
    let call = try call("/v1/nodes?page_token=zz")
    let error = #expect(throws: PlatformError.self) { try Paging.page(["a"], call) { $0 } }
    #expect(error?.field == "page_token")
  }

  @Test(arguments: ["", "?update_mask=", "?update_mask=name,id"])
  func `an update mask that is missing or names a fixed field is refused`(query: String) throws {
    let call = try call("/v1/nodes/n" + query)
    let error = #expect(throws: PlatformError.self) { try UpdateMask.fields(call, known: ["name", "acl"]) }
    #expect(error?.field == "update_mask")
    #expect(error?.message.contains("name, acl") == true)
  }

  @Test func `an update mask gives its fields`() throws {
    let call = try call("/v1/nodes/n?update_mask=acl,name")
    #expect(try UpdateMask.fields(call, known: ["name", "acl"]) == ["acl", "name"])
  }

  @Test func `a viewer may look and may not create`() throws {
    let call = try call("/v1/nodes", role: .viewer)
    #expect(call.sees(folder))
    try call.require(.view, on: folder)
    let error = #expect(throws: PlatformError.self) { try call.require(.develop, on: folder) }
    #expect(error?.code == .permissionDenied)
  }

  @Test func `a caller without a role sees nothing`() throws {
    let call = try call("/v1/nodes", role: .admin)
    #expect(!call.sees(.random()))
    #expect(throws: PlatformError.self) { try call.require(.view, on: .random()) }
  }
}
