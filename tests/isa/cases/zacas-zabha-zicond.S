# Zacas, Zabha and Zicond: operands that meet, bytes and halves of a word, sign extension, compares that hold
# and do not. What comes out was computed by another implementation (qemu 10). Last, what that one gets wrong: with x0 as
# destination the compare is with 0, and nothing is written to it (Zacas; Spike reads it so, too).
.macro begin
    la x20, 1f
    jal load
    j 2f
1:
.endm
.macro run
2:
.endm
.macro end
    la x20, 3f
    jal compare
    j 4f
3:
.endm
.globl _start
_start:
    begin
    .dword 0x32833106536e95df, 0x7f, 0x8080808080808080, 0x253d
    .dword 0x80289e32a93f32a9, 0xffff, 0xffffffffffffffff, 0x7fff
    .dword 0x63783933d5f00510, 0x80000000, 0x8080808080808080, 0x783bea5c88b224f0
    .dword 0x7fff
    run
    addi x22,x18,2
    .word 0x2c6b132f # amocas.h x6, x6, x22
    end
    .dword 0x32833106536e95df, 0xffffffffffff88b2, 0x8080808080808080, 0x253d
    .dword 0x80289e32a93f32a9, 0xffff, 0xffffffffffffffff, 0x7fff
    .dword 0x63783933d5f00510, 0x80000000, 0x8080808080808080, 0x783bea5c88b224f0
    .dword 0x7fff
4:
    begin
    .dword 0x2, 0x8000000000000000, 0x646040bc814db98, 0x459ccb821b420c79
    .dword 0x8080808080808080, 0x77eacb, 0xd7d5c4a9d4041791, 0xc045596e67714350
    .dword 0x87ed8c029b0814f4, 0x102030405060708, 0x80, 0x3465de3626351bb
    .dword 0x0
    run
    addi x9,x18,2
    .word 0xa0d494af # amomax.h x9, x13, x9
    li x7,0
    .word 0x00b28333 # add x6, x5, x11
    mv x11,x14
    addi x22,x18,0
    .word 0x205b302f # amoxor.d x0, x5, x22
    end
    .dword 0x2, 0xd7d5c4a9d4041793, 0x0, 0x459ccb821b420c79
    .dword 0x6263, 0x77eacb, 0x102030405060708, 0xc045596e67714350
    .dword 0x87ed8c029b0814f4, 0x102030405060708, 0x80, 0x3465de3626351b9
    .dword 0x0
4:
    begin
    .dword 0x1d0b6d6d775d22b2, 0xd32c41979d4a8b4, 0x7a, 0x2
    .dword 0x80, 0x8000, 0x6110ee04c505bebd, 0x17b64902e5
    .dword 0x81a2ccfd7d513542, 0x7f, 0x7fffffffffffffff, 0xffff
    .dword 0x7fff
    run
    lw x5,4(x18)
    addi x22,x18,4
    .word 0x286b22af # amocas.w x5, x6, x22
    end
    .dword 0x0, 0xd32c41979d4a8b4, 0x7a, 0x2
    .dword 0x80, 0x8000, 0x6110ee04c505bebd, 0x17b64902e5
    .dword 0x81a2ccfd7d513542, 0x7f, 0x7fffffffffffffff, 0x79d4a8b40000ffff
    .dword 0x7fff
4:
    begin
    .dword 0x914e23, 0xffffffffffffffff, 0xc4b4a53ad16173f0, 0x7fffffffffffffff
    .dword 0x6ea17, 0x36, 0xe9f3f15f50a4b220, 0xffff
    .dword 0x1ffe4b9801004, 0xbfce753ffc2a621c, 0x86402f8ca7cd0ba1, 0x8080808080808080
    .dword 0xffff
    run
    mv x13,x15
    addi x22,x18,4
    .word 0x2cab23af # amocas.w x7, x10, x22
    ld x13,0(x18)
    addi x22,x18,0
    .word 0x2c5b36af # amocas.d x13, x5, x22
    mv x5,x15
    end
    .dword 0x86402f8ca7cd0ba1, 0xffffffffffffffff, 0xffffffff80808080, 0x7fffffffffffffff
    .dword 0x6ea17, 0x36, 0xe9f3f15f50a4b220, 0xffff
    .dword 0x8080808080808080, 0xbfce753ffc2a621c, 0x86402f8ca7cd0ba1, 0x914e23
    .dword 0xffff
4:
    begin
    .dword 0x953881c79fbc24cc, 0x38, 0x5c0a21d7142cfcf9, 0x0
    .dword 0x80, 0x8080808080808080, 0xd, 0x1
    .dword 0x80, 0xffff, 0xa217908414e4a56, 0x8af
    .dword 0x4
    run
    addi x22,x18,0
    .word 0xa00b23af # amomax.w x7, x0, x22
    end
    .dword 0x953881c79fbc24cc, 0x38, 0x8af, 0x0
    .dword 0x80, 0x8080808080808080, 0xd, 0x1
    .dword 0x80, 0xffff, 0xa217908414e4a56, 0x8af
    .dword 0x4
4:
    begin
    .dword 0xbcbff630c4fa1a1c, 0xffffffffffffffff, 0xffffffffffffffff, 0x90cb515ef0966667
    .dword 0x8080808080808080, 0xb24555e966e3b1d9, 0x7fffffff, 0x56ee8a7b54a9b365
    .dword 0x30fa787, 0xc8f1603e5a7318af, 0x5ac9556841145208, 0x287951e1f047f5d1
    .dword 0x80
    run
    lb x8,15(x18)
    addi x22,x18,15
    .word 0x280b042f # amocas.b x8, x0, x22
    mv x9,x14
    addi x22,x18,12
    .word 0x2ebb15af # amocas.h x11, x11, x22
    end
    .dword 0xbcbff630c4fa1a1c, 0xffffffffffffffff, 0xffffffffffffffff, 0x0
    .dword 0xc8f1603e5a7318af, 0xb24555e966e3b1d9, 0x0, 0x56ee8a7b54a9b365
    .dword 0x30fa787, 0xc8f1603e5a7318af, 0x5ac9556841145208, 0x287951e1f047f5d1
    .dword 0x80
4:
    begin
    .dword 0x3c82bb, 0x100000000, 0xc6ccf6, 0x9c8faa9
    .dword 0xf79e902f0631360f, 0x48c077f1f261d498, 0x8000000000000000, 0x938dd100053b0655
    .dword 0x80000000, 0xa83051, 0x7f, 0x80
    .dword 0x80
    run
    addi x22,x18,8
    .word 0x86fb332f # amomin.d x6, x15, x22
    .word 0x0ee6f333 # czero.nez x6, x13, x14
    end
    .dword 0x3c82bb, 0x0, 0xc6ccf6, 0x9c8faa9
    .dword 0xf79e902f0631360f, 0x48c077f1f261d498, 0x8000000000000000, 0x938dd100053b0655
    .dword 0x80000000, 0xa83051, 0x7f, 0x80
    .dword 0x7f
4:
    begin
    .dword 0x7fff, 0x91dea259613fd26, 0x1b6f20c7ba011f3, 0xe83a06136ca5bfdc
    .dword 0x0, 0xffffffff, 0xffff, 0x2
    .dword 0x15cda0e41, 0x1, 0x938bfc16cb30d4f0, 0x16e92a3443b7
    .dword 0x2381036868da0
    run
    mv x5,x13
    addi x22,x18,14
    .word 0x86fb102f # amomin.h x0, x15, x22
    addi x22,x18,12
    .word 0xc2bb202f # amominu.w x0, x11, x22
    end
    .dword 0x15cda0e41, 0x91dea259613fd26, 0x1b6f20c7ba011f3, 0xe83a06136ca5bfdc
    .dword 0x0, 0xffffffff, 0xffff, 0x2
    .dword 0x15cda0e41, 0x1, 0x938bfc16cb30d4f0, 0x16e92a3443b7
    .dword 0xffff36868da0
4:
    begin
    .dword 0xff, 0xffffffffffffffff, 0xffffffff80000000, 0x546e436a1ab4
    .dword 0xbd31e9, 0x0, 0x8080808080808080, 0x0
    .dword 0x2, 0x566bbefce025, 0x4d08, 0x8000
    .dword 0x8000
    run
    addi x22,x18,12
    .word 0x28bb23af # amocas.w x7, x11, x22
    end
    .dword 0xff, 0xffffffffffffffff, 0x0, 0x546e436a1ab4
    .dword 0xbd31e9, 0x0, 0x8080808080808080, 0x0
    .dword 0x2, 0x566bbefce025, 0x4d08, 0x8000
    .dword 0x8000
4:
    begin
    .dword 0x1, 0x0, 0x1f683424ce0694d8, 0x8000000000000000
    .dword 0x47a0e739d45a9d51, 0x8080808080808080, 0x8000000000000000, 0xffffffff
    .dword 0xff, 0xff, 0x60b47ad44f207cb, 0x7f
    .dword 0xf662a1
    run
    addi x22,x18,14
    .word 0x28bb042f # amocas.b x8, x11, x22
    addi x22,x18,5
    .word 0xc00b002f # amominu.b x0, x0, x22
    li x15,0
    .word 0x0e53f5b3 # czero.nez x11, x7, x5
    mv x6,x10
    mv x8,x15
    end
    .dword 0x1, 0x8080808080808080, 0x1f683424ce0694d8, 0x0
    .dword 0x47a0e739d45a9d51, 0x8080808080808080, 0x0, 0xffffffff
    .dword 0xff, 0xff, 0x0, 0x7f
    .dword 0xf662a1
4:
    begin
    .dword 0x3f35fc41e790ba78, 0x64eed25aae73c418, 0x0, 0x102030405060708
    .dword 0x7fffffff, 0x8000000000000000, 0x80, 0xffffffff80000000
    .dword 0xffffffffffffffff, 0x269f564e0b7b, 0xc53b426739dddc90, 0x615ff74b6614181f
    .dword 0x6612fbefac717a3
    run
    addi x22,x18,8
    .word 0xa06b332f # amomax.d x6, x6, x22
    addi x22,x18,4
    .word 0x849b03af # amomin.b x7, x9, x22
    end
    .dword 0x3f35fc41e790ba78, 0x6612fbefac717a3, 0x4b, 0x102030405060708
    .dword 0x7fffffff, 0x8000000000000000, 0x80, 0xffffffff80000000
    .dword 0xffffffffffffffff, 0x269f564e0b7b, 0xc53b426739dddc90, 0x615ff7ff6614181f
    .dword 0x64eed25aae73c418
4:
    begin
    .dword 0x2, 0x42d8ed125aeeea, 0xffff, 0x80
    .dword 0x5e25, 0xd19680421a9f3, 0x33bb595, 0x1
    .dword 0x3b, 0xffffffff80000000, 0xfe1a51ea18dc9b52, 0x7fffffff
    .dword 0x7fffffffffffffff
    run
    .word 0x0e84d7b3 # czero.eqz x15, x9, x8
    addi x6,x18,8
    .word 0x4283332f # amoor.d x6, x8, x6
    end
    .dword 0x2, 0x7fffffffffffffff, 0xffff, 0x80
    .dword 0x5e25, 0xd19680421a9f3, 0x33bb595, 0x1
    .dword 0x3b, 0xffffffff80000000, 0x5e25, 0x7fffffff
    .dword 0x7fffffffffffffff
4:
    begin
    .dword 0xb0df36141f23f4c1, 0xef527b629dea4e, 0xfbd209eaaaf856a, 0x1ac2e6e97f
    .dword 0x7fffffff, 0x8080808080808080, 0x38429f2594aa93e1, 0xffffffffffffffff
    .dword 0x100000000, 0x7fffffff, 0x0, 0x3aa3d3f3df1a55c9
    .dword 0x7fffffff
    run
    lbu x13,12(x18)
    addi x22,x18,12
    .word 0x28eb06af # amocas.b x13, x14, x22
    end
    .dword 0xb0df36141f23f4c1, 0xef527b629dea4e, 0xfbd209eaaaf856a, 0x1ac2e6e97f
    .dword 0x7fffffff, 0x8080808080808080, 0x38429f2594aa93e1, 0xffffffffffffffff
    .dword 0x0, 0x7fffffff, 0x0, 0x3aa3d3f3df1a55c9
    .dword 0xff7fffffff
4:
    begin
    .dword 0xdf5e7e3d75d1bb5, 0x31, 0x7fff, 0xffff
    .dword 0x8080808080808080, 0xf8ad60425523af72, 0x8080808080808080, 0x1
    .dword 0x80, 0x100000000, 0x102030405060708, 0xc3abe78bd468e3bc
    .dword 0x197ba9558
    run
    addi x22,x18,0
    .word 0x64bb33af # amoand.d x7, x11, x22
    lb x15,6(x18)
    addi x22,x18,6
    .word 0x2cfb07af # amocas.b x15, x15, x22
    mv x12,x6
    addi x22,x18,8
    .word 0x2e5b12af # amocas.h x5, x5, x22
    end
    .dword 0xffffffffffff9558, 0x31, 0xc3abe78bd468e3bc, 0xffff
    .dword 0x8080808080808080, 0xf8ad60425523af72, 0x8080808080808080, 0x31
    .dword 0x80, 0x100000000, 0xffffffffffffff80, 0x8080808080008080
    .dword 0x197ba9558
4:
    begin
    .dword 0x7f, 0x2, 0x26aaed0ebe14a00, 0x236303433a4fe27c
    .dword 0xffffffffffffffff, 0x7f, 0x7fffffffffffffff, 0x9e6df
    .dword 0xbeec50e6a82e59c1, 0xffdd3e7d744c697f, 0x7f, 0x1
    .dword 0x0
    run
    addi x22,x18,6
    .word 0x2c8b172f # amocas.h x14, x8, x22
    end
    .dword 0x7f, 0x2, 0x26aaed0ebe14a00, 0x236303433a4fe27c
    .dword 0xffffffffffffffff, 0x7f, 0x7fffffffffffffff, 0x9e6df
    .dword 0xbeec50e6a82e59c1, 0x0, 0x7f, 0x1
    .dword 0x0
4:
    begin
    .dword 0x7f, 0xbecd8a64089458a0, 0x2f3f58eb2bef4c62, 0x87fd80ca4
    .dword 0x14a162a591389d18, 0x32f858597e0cbf, 0x7fffffff, 0x1
    .dword 0xffffffff, 0x57, 0x23914041db, 0x1
    .dword 0x6fc133
    run
    .word 0x0ed2f2b3 # czero.nez x5, x5, x13
    .word 0x0eb2d2b3 # czero.eqz x5, x5, x11
    end
    .dword 0x0, 0xbecd8a64089458a0, 0x2f3f58eb2bef4c62, 0x87fd80ca4
    .dword 0x14a162a591389d18, 0x32f858597e0cbf, 0x7fffffff, 0x1
    .dword 0xffffffff, 0x57, 0x23914041db, 0x1
    .dword 0x6fc133
4:
    begin
    .dword 0x100000000, 0xa6d32c95f45dc9da, 0x6a17e52b8bb388, 0xffffffffffffffff
    .dword 0xffff, 0x8080808080808080, 0xd9c09ba035f, 0xffffffff80000000
    .dword 0xe942e47919504111, 0x2, 0xb1f10d3, 0x8a42d5f549d49e3
    .dword 0x80
    run
    addi x22,x18,8
    .word 0xe4fb37af # amomaxu.d x15, x15, x22
    lh x15,8(x18)
    addi x22,x18,8
    .word 0x2c7b17af # amocas.h x15, x7, x22
    addi x22,x18,0
    .word 0x0c9b37af # amoswap.d x15, x9, x22
    addi x22,x18,12
    .word 0x285b23af # amocas.w x7, x5, x22
    addi x22,x18,0
    .word 0x82bb362f # amomin.d x12, x11, x22
    end
    .dword 0x100000000, 0xa6d32c95f45dc9da, 0x0, 0xffffffffffffffff
    .dword 0xffff, 0x8080808080808080, 0xd9c09ba035f, 0xffff
    .dword 0xe942e47919504111, 0x2, 0x8a42d5f549d49e3, 0xffff
    .dword 0xb1fb388
4:
    begin
    .dword 0xffffffff, 0x39ef625b743d0, 0x6697467ad6f80ee8, 0x102030405060708
    .dword 0x102030405060708, 0xa08556c5cc66fe3b, 0x8080808080808080, 0x4abd911ee437aa55
    .dword 0x5bded97a82579a35, 0x7fffffffffffffff, 0x3, 0x66ca71f
    .dword 0x7f
    run
    ld x5,0(x18)
    addi x22,x18,0
    .word 0x289b32af # amocas.d x5, x9, x22
    addi x22,x18,8
    .word 0x46ab332f # amoor.d x6, x10, x22
    .word 0x40900533 # sub x10, x0, x9
    mv x11,x14
    li x11,0
    .word 0x0ec4f033 # czero.nez x0, x9, x12
    end
    .dword 0x66ca71f, 0x7f, 0x6697467ad6f80ee8, 0x102030405060708
    .dword 0x102030405060708, 0xfefdfcfbfaf9f8f8, 0x0, 0x4abd911ee437aa55
    .dword 0x5bded97a82579a35, 0x7fffffffffffffff, 0x3, 0x102030405060708
    .dword 0xa08556c5cc66fe7f
4:
    begin
    .dword 0xffffffff80000000, 0xb40337cbf280ac45, 0x7f, 0x1
    .dword 0x1, 0xc447ada66d0b, 0x8080808080808080, 0x4b05d1c8e7e04c63
    .dword 0x100000000, 0x8000000000000000, 0x8000, 0x7fffffff
    .dword 0x7f
    run
    lb x15,12(x18)
    addi x22,x18,12
    .word 0x28cb07af # amocas.b x15, x12, x22
    addi x22,x18,8
    .word 0x0c5b32af # amoswap.d x5, x5, x22
    end
    .dword 0x630000007f, 0xb40337cbf280ac45, 0x7f, 0x1
    .dword 0x1, 0xc447ada66d0b, 0x8080808080808080, 0x4b05d1c8e7e04c63
    .dword 0x100000000, 0x8000000000000000, 0x0, 0x7fffffff
    .dword 0xffffffff80000000
4:
    begin
    .dword 0x8000, 0xb3d03102135cd713, 0x2, 0xa7537765b633ab39
    .dword 0x7fffffffffffffff, 0x8000, 0x0, 0x7f
    .dword 0x8000, 0xa77c65daf883ae81, 0x8000, 0xff
    .dword 0x8080808080808080
    run
    addi x22,x18,8
    .word 0x64fb252f # amoand.w x10, x15, x22
    end
    .dword 0x8000, 0xb3d03102135cd713, 0x2, 0xa7537765b633ab39
    .dword 0x7fffffffffffffff, 0xffffffff80808080, 0x0, 0x7f
    .dword 0x8000, 0xa77c65daf883ae81, 0x8000, 0xff
    .dword 0x8080808000008000
4:
    begin
    .dword 0x102030405060708, 0x7f, 0x0, 0xffffffff
    .dword 0xffff, 0x7fffffffffffffff, 0xffffffff80000000, 0x8080808080808080
    .dword 0x7d077e2dbecb859b, 0x3021ab71, 0x7f, 0x42ccb2f9
    .dword 0x285cdf7c0ba7e1be
    run
    lb x9,6(x18)
    addi x22,x18,6
    .word 0x2ebb04af # amocas.b x9, x11, x22
    addi x15,x18,8
    .word 0x8467b7af # amomin.d x15, x6, x15
    end
    .dword 0x102030405060708, 0x7f, 0x0, 0xffffffff
    .dword 0x0, 0x7fffffffffffffff, 0xffffffff80000000, 0x8080808080808080
    .dword 0x7d077e2dbecb859b, 0x3021ab71, 0x285cdf7c0ba7e1be, 0x42ccb2f9
    .dword 0x7f
4:
    begin
    .dword 0x166133d605a8343c, 0xb8064c240e, 0xffff, 0xffffffff
    .dword 0x2685c6db450d5b, 0x319532788c, 0x2, 0xffffffff80000000
    .dword 0x33993c934ee7, 0xb43e47a7e4355e60, 0x7fffffff, 0x8080808080808080
    .dword 0x100000000
    run
    addi x22,x18,8
    .word 0x0c5b262f # amoswap.w x12, x5, x22
    lw x15,8(x18)
    addi x22,x18,8
    .word 0x2eab27af # amocas.w x15, x10, x22
    ld x14,8(x18)
    addi x22,x18,8
    .word 0x28eb372f # amocas.d x14, x14, x22
    end
    .dword 0x166133d605a8343c, 0xb8064c240e, 0xffff, 0xffffffff
    .dword 0x2685c6db450d5b, 0x319532788c, 0x2, 0x0
    .dword 0x33993c934ee7, 0x19532788c, 0x5a8343c, 0x8080808080808080
    .dword 0x19532788c
4:
    la x18, cell
    li x5, 0x1234567855667788
.macro compare_with_0 insn, old, new
    li x6, \old
    sd x6, 0(x18)
    .word \insn
    ld x7, 0(x18)
    li x6, \new
    bne x6, x7, bad
    bnez x0, bad
.endm
    compare_with_0 0x2859002f, 0x7a00000000000000, 0x7a00000000000088 # amocas.b x0, x5, x18
    compare_with_0 0x2859002f, 0x7a00000000000001, 0x7a00000000000001
    compare_with_0 0x2859102f, 0x7a00000000000000, 0x7a00000000007788 # amocas.h x0, x5, x18
    compare_with_0 0x2859102f, 0x7a00000000000001, 0x7a00000000000001
    compare_with_0 0x2859202f, 0x7a00000000000000, 0x7a00000055667788 # amocas.w x0, x5, x18
    compare_with_0 0x2859202f, 0x7a00000000000001, 0x7a00000000000001
    compare_with_0 0x2859302f, 0x0, 0x1234567855667788 # amocas.d x0, x5, x18
    compare_with_0 0x2859302f, 0x7a00000000000001, 0x7a00000000000001
    li a0, 0
    j out
bad:
    li a0, 1
out:
    li a7, 93
    ecall
load:
    la x18, cell
    ld x21, 88(x20)
    ld x23, 96(x20)
    sd x21, 0(x18)
    sd x23, 8(x18)
    ld x5, 0(x20)
    ld x6, 8(x20)
    ld x7, 16(x20)
    ld x8, 24(x20)
    ld x9, 32(x20)
    ld x10, 40(x20)
    ld x11, 48(x20)
    ld x12, 56(x20)
    ld x13, 64(x20)
    ld x14, 72(x20)
    ld x15, 80(x20)
    ret
compare:
    ld x21, 0(x20)
    bne x21, x5, bad
    ld x21, 8(x20)
    bne x21, x6, bad
    ld x21, 16(x20)
    bne x21, x7, bad
    ld x21, 24(x20)
    bne x21, x8, bad
    ld x21, 32(x20)
    bne x21, x9, bad
    ld x21, 40(x20)
    bne x21, x10, bad
    ld x21, 48(x20)
    bne x21, x11, bad
    ld x21, 56(x20)
    bne x21, x12, bad
    ld x21, 64(x20)
    bne x21, x13, bad
    ld x21, 72(x20)
    bne x21, x14, bad
    ld x21, 80(x20)
    bne x21, x15, bad
    ld x21, 88(x20)
    ld x23, 0(x18)
    bne x21, x23, bad
    ld x21, 96(x20)
    ld x23, 8(x18)
    bne x21, x23, bad
    ret
.bss
.balign 16
cell: .skip 16
