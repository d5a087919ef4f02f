import Access
import Domain
import Testing

@Suite struct RoleTests {
  @Test(arguments: [
    (Role.viewer, [Permission.view]), (.developer, [.view, .call, .develop]),
    (.editor, [.view, .call, .develop, .edit]), (.admin, Permission.allCases), (.user, [.call]),
  ])
  func `each role allows exactly its permissions`(role: Role, allowed: [Permission]) {
    #expect(Permission.allCases.filter(role.allows) == allowed)
  }

  @Test func `a role counts only on its folder and for its subject`() {
    let (one, two) = (FolderID.random(), FolderID.random())
    let bindings = [RoleBinding(subject: "sva1", role: .editor, folderID: one)]
    #expect(RoleBinding.allows(.call, subject: "sva1", folder: one, in: bindings))
    #expect(!RoleBinding.allows(.call, subject: "sva1", folder: two, in: bindings))
    #expect(!RoleBinding.allows(.call, subject: "sva2", folder: one, in: bindings))
  }

  @Test func `a refusal names the role to ask for`() throws {
    let folder = FolderID.random()
    let error = try #require(throws: PlatformError.self) {
      try RoleBinding.require(.call, subject: "sva1", folder: folder, in: [])
    }
    #expect(error.code == .permissionDenied)
    #expect(error.message.contains("datasphere.user") && error.message.contains(folder.text))
  }

  @Test func `an unknown role names the field and the known ones`() throws {
    let error = try #require(throws: PlatformError.self) { try Role.named("owner") }
    #expect(error.field == "role" && error.message.contains("datasphere.user"))
  }
}
