import CLinux
import Testing

@Suite struct PoolTests {
  @Test func `blocks of all sizes keep their bytes while others come, grow and go`() throws {
    let pool = try #require(roost_pool_new())
    let user = UnsafeMutableRawPointer(pool)
    var generator = SystemRandomNumberGenerator()
    var blocks: [(base: UnsafeMutableRawPointer, count: Int, mark: UInt8)] = []
    func check(_ index: Int, _ count: Int) {
      let block = blocks[index]
      #expect(UnsafeRawBufferPointer(start: block.base, count: count).allSatisfy { $0 == block.mark })
    }
    for step in 0..<20_000 {
      let mark = UInt8(truncatingIfNeeded: step)
      let count = Int.random(in: 0...4 << Int.random(in: 0...11, using: &generator), using: &generator)
      switch Int.random(in: 0..<4, using: &generator) {
      case 0 where !blocks.isEmpty:
        let index = Int.random(in: blocks.indices, using: &generator)
        check(index, blocks[index].count)
        roost_pool_free(blocks[index].base, user)
        blocks.swapAt(index, blocks.count - 1)
        blocks.removeLast()
      case 1 where !blocks.isEmpty:
        let index = Int.random(in: blocks.indices, using: &generator)
        let kept = min(blocks[index].count, count)
        blocks[index].base = try #require(roost_pool_realloc(blocks[index].base, count, user))
        check(index, kept)
        blocks[index].base.initializeMemory(as: UInt8.self, repeating: blocks[index].mark, count: count)
        blocks[index].count = count
      case 2:
        let base = try #require(roost_pool_calloc(count, 1, user))
        #expect(UnsafeRawBufferPointer(start: base, count: count).allSatisfy { $0 == 0 })
        base.initializeMemory(as: UInt8.self, repeating: mark, count: count)
        blocks.append((base, count, mark))
      default:
        let base = try #require(roost_pool_malloc(count, user))
        #expect(Int(bitPattern: base) % 16 == 0)
        base.initializeMemory(as: UInt8.self, repeating: mark, count: count)
        blocks.append((base, count, mark))
      }
    }
    for index in blocks.indices {
      check(index, blocks[index].count)
      roost_pool_free(blocks[index].base, user)
    }
    roost_pool_free(nil, user)
    roost_pool_delete(pool)
    roost_pool_delete(nil)
  }

  @Test func `what can't be had is refused`() throws {
    let pool = try #require(roost_pool_new())
    let user = UnsafeMutableRawPointer(pool)
    #expect(roost_pool_calloc(.max / 2, 4, user) == nil)
    #expect(roost_pool_calloc(1 << 33, 1 << 33, user) == nil)
    #expect(roost_pool_malloc(.max, user) == nil)
    let block = try #require(roost_pool_malloc(10, user))
    block.storeBytes(of: 7, as: UInt8.self)
    #expect(roost_pool_realloc(block, .max, user) == nil)
    #expect(block.load(as: UInt8.self) == 7)
    roost_pool_free(block, user)
    roost_pool_delete(pool)
  }

  @Test(arguments: [10, 5000]) func `a block that is freed twice ends the process`(size: Int) async {
    await #expect(processExitsWith: .failure) { [size = size as Int] in
      let user = UnsafeMutableRawPointer(roost_pool_new())
      let block = roost_pool_malloc(size, user)
      roost_pool_free(block, user)
      roost_pool_free(block, user)
    }
  }
}
