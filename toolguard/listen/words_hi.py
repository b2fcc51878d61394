"""Hindi, in Devanagari and as it is written in Latin letters: the basics."""

from toolguard.listen.numbers import hindi
from toolguard.listen.words import Language

HINDI = Language(
    code="hi",
    phrases={
        "filler": "um,uh,hmm,are,arre,matlab,to,toh,please,kripya,zara,ab,अरे,मतलब,तो,कृपया,ज़रा,प्लीज़,अब,अच्छा सुनो",
        "it": "chahta hun,chahti hun,chahte hain,yah,yeh,ye,woh,wo,isko,usko,ise,use,mera,meri,mujhe,mere liye,"
        "hamare liye,ke liye,sab,booking,order,appointment,"
        "hai,ho,ka,ki,ke,ko,main,mai,hum,aap,do,dijiye,de,kar,karo,kijiye,karna,appointment ko,"
        "यह,ये,वह,वो,इसको,उसको,इसे,उसे,मेरा,मेरी,मुझे,मेरे लिए,हमारे लिए,के लिए,सब,"
        "बुकिंग,ऑर्डर,अपॉइंटमेंट,है,हैं,का,की,के,को,मैं,हम,"
        "आप,दो,दीजिए,कर,करो,कीजिए",
        "yes": "haan,han,haan haan,ji,ji haan,haan ji,theek hai,thik hai,theek,achha,accha,acha,ok,okay,sahi,"
        "sahi hai,"
        "bilkul,dhanyavad,shukriya,samajh gaya,samajh gayi,badhiya,koi baat nahi,bahut accha,mm hm,"
        "हाँ,हां,जी,जी हाँ,जी हां,ठीक है,ठीक,अच्छा,ओके,सही है,सही,बिल्कुल,धन्यवाद,"
        "शुक्रिया,समझ गया,समझ गई,बढ़िया,कोई बात नहीं",
        "accept": "haan kar do,haan kar dijiye,kar do,kar dijiye,haan please,हाँ कर दो,"
        "हां कर दीजिए,कर दीजिए,कर दो,जी कर दीजिए",
        "no": "nahi,nahin,na,ji nahi,नहीं,ना,जी नहीं,नही",
        "decline": "nahi dhanyavad,nahi shukriya,bas itna hi,bas,aur kuch nahi,नहीं धन्यवाद,"
        "नहीं शुक्रिया,बस,बस इतना ही,और कुछ नहीं",
        "not": "mat,मत",
        "but": "lekin,magar,par,लेकिन,मगर,पर",
        "hold": "ruko,rukiye,rukie,ek minute,ek second,ek minat,ek pal,ek sec,thoda ruko,thoda rukiye,sochne do,"
        "abhi nahi,"
        "zara rukiye,ruk jao,ruk jaiye,रुको,रुकिए,रुकिये,एक मिनट,एक सेकंड,एक पल,"
        "थोड़ा रुकिए,सोचने दो,अभी नहीं,ज़रा रुकिए,रुक जाइए",
        "stop": "band karo,band kijiye,bas karo,stop,बंद करो,बंद कीजिए,बस करो,स्टॉप",
        "cancel": "cancel,cancel karo,cancel kar do,cancel kar dijiye,cancel kijiye,radd karo,radd kar do,"
        "radd kijiye,rehne do,"
        "rahne do,rehne dijiye,chhodo,chodo,chhod do,jane do,mat karo,mat kijiye,nahi chahiye,ab nahi chahiye,"
        "कैंसिल,कैंसल,कैंसिल करो,कैंसिल कर दो,कैंसिल कर दीजिए,कैंसिल कीजिए,रद्द,रद्द करो,"
        "रद्द कर दो,रद्द कीजिए,रद्द कर दीजिए,रहने दो,"
        "रहने दीजिए,छोड़ो,छोड़ दो,जाने दो,मत करो,मत कीजिए,नहीं चाहिए,अब नहीं चाहिए",
        "keep": "cancel mat karo,cancel mat kijiye,mat ruko,jari rakho,jari rakhiye,"
        "कैंसिल मत करो,कैंसिल मत कीजिए,जारी रखो,जारी रखिए",
        "change": "badal do,badal dijiye,badlo,badliye,ki jagah,ke bajaye,ke bajay,mera matlab,matlab hai,balki,"
        "behtar,galat,"
        "galat hai,change karo,change kar do,change kar dijiye,maine kaha,usko badal do,kar lijiye,iski jagah,"
        "बदल दो,बदल दीजिए,बदलो,बदलिए,की जगह,के बजाय,मेरा मतलब,बल्कि,बेहतर,गलत,ग़लत,"
        "गलत है,चेंज करो,मैंने कहा",
        "also": "bhi,aur bhi,saath mein,iske alawa,aur haan,भी,और भी,साथ में,साथ ही,इसके अलावा",
        "topic": "vaise,waise,ek sawal,ek aur sawal,dusri baat,ek aur baat,वैसे,एक सवाल,एक और सवाल,दूसरी बात,एक और बात",
        "ask": "kya,kahan,kab,kyon,kyu,kaun,kaise,kitna,kitne,kitni,kaunsa,bataiye,batao,kya aap,"
        "क्या,कहाँ,कहां,कब,क्यों,कौन,कैसे,कितना,कितने,कितनी,कौनसा,कौन सा,बताइए,बताओ",
        "repair": "hello,maaf kijiye,phir se boliye,phir se kahiye,dobara boliye,kya kaha,kya kaha aapne,sun rahe ho,"
        "aap sun rahe hain,aap wahan hain,namaste,हेलो,हैलो,माफ़ कीजिए,माफ कीजिए,"
        "फिर से बोलिए,फिर से कहिए,दोबारा बोलिए,क्या कहा,"
        "क्या कहा आपने,सुन रहे हो,आप सुन रहे हैं,नमस्ते,क्या आप सुन रहे हैं",
        "am": "subah,savere,सुबह,सवेरे",
        "pm": "shaam,sham,raat,dopahar,शाम,रात,दोपहर,shaam ko,raat ko",
    },
    numbers=hindi(),
    scales={"sau": 100, "सौ": 100, "hazar": 1000, "हज़ार": 1000},
    articles="ek एक दो",
    weekdays="somvar/somwar/सोमवार mangalvar/mangalwar/मंगलवार/मंगल budhvar/budhwar/बुधवार "
    "guruvar/guruwar/veervar/brihaspativar/गुरुवार/वीरवार/बृहस्पतिवार shukravar/shukrawar/शुक्रवार "
    "shanivar/shaniwar/शनिवार ravivar/raviwar/itvaar/रविवार/इतवार",
    months="जनवरी/janvari फरवरी/फ़रवरी/farvari मार्च/march अप्रैल/april "
    "मई/mai जून/june जुलाई/julai अगस्त/agast सितंबर/sitambar "
    "अक्टूबर/aktubar नवंबर/navambar दिसंबर/disambar",
    today="aaj/आज,kal/कल,parson/परसों",
    units={
        "people": "log,logon,logo,vyakti,mehman,लोग,लोगों,व्यक्ति,मेहमान,जन",
        "nights": "raaten,रातें",
        "days": "din,दिन",
        "hours": "ghante,घंटे",
        "minutes": "minat,मिनट",
        "money": "rupaye,rupees,rupay,रुपये,रुपए,₹,$",
        "count": "ticket,टिकट,tickets",
    },
    at="",
    oclock="baje,बजे",
    before={"sadhe": 30, "saadhe": 30, "साढ़े": 30, "sava": 15, "सवा": 15, "paune": -15, "पौने": -15},
    noon="",
    midnight="aadhi raat,आधी रात",
)
